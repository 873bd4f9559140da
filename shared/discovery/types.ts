import type { Fetch } from '../client.ts';
import type { DesiredGenerations } from '../contract/document.ts';
import type { NodeKeys } from '../contract/fleet-keys.ts';
import type { FencingToken } from '../contract/headers.ts';
import type { Role } from '../contract/ids.ts';
import type { PlannedService, SharedBackends } from '../contract/plan.ts';
import type { Problem } from '../contract/problem.ts';
import type { Drafts } from '../contract/reconcile.ts';
import type { ClusterFile, HeldEmergency } from '../contract/status.ts';
import type { Clock } from '../ports/clock.ts';
import type { Lan } from '../ports/lan.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { StateFiles } from '../ports/state-files.ts';
import type { Intent } from '../reconcile/prune/index.ts';
import type { ComponentDiff, EnvironmentReconciler, ServiceManager } from '../reconcile/types.ts';
import type { Identity } from './identify.ts';
import type { ReportQueue } from './report-queue.ts';
import type { LocateTrace } from './trace.ts';

/** The settings that discovery reads; `runtime-node/config.ts` fills them in. */
export interface DiscoveryConfig {
  readonly fleet: string;
  readonly site: string;
  readonly capabilities: readonly string[];
  /** The URL under which other nodes reach this one; asked anew at each use, since an address may change. */
  advertise_url(): string;
  readonly cloud_url?: string;
  /** Nothing that this node has to show may go over a plain wire: who is not at https, or on this machine, is not followed. */
  readonly https_only?: boolean;
  /** Whether this node may lead its site. */
  readonly lead: boolean;
  /** URLs of nodes to ask, beside those that are remembered. */
  readonly peers: readonly string[];
  /** Versions of software by name, sent with each register and heartbeat. */
  readonly versions: Readonly<Record<string, string>>;
  /** Used until a plan says otherwise. */
  readonly ttl_seconds: number;
}

export interface DiscoveryDeps {
  readonly config: DiscoveryConfig;
  /** From `identify`, which the composition root calls first: the reconcilers need the node_id too. */
  readonly identity: Identity;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly files: StateFiles;
  readonly fleetKeys: NodeKeys;
  /** This node's own credential (`bpn~…`), as `fetch` and the own Supervisor take it. */
  readonly credential: string;
  readonly fetch: Fetch;
  /** The node's own Supervisor, reached in process over the same `/v1`. */
  readonly self: { readonly url: string; readonly fetch: Fetch };
  readonly lan?: Lan;
  /** The name and the address of this machine as they are now. */
  host(): { readonly host: string; readonly ip: string };
  readonly environment: EnvironmentReconciler;
  readonly services: ServiceManager;
  /** Where the reconcilers report to; discovery sends on what gathers in it. */
  readonly reports: ReportQueue;
  readonly metrics?: () => Readonly<Record<string, number>>;
}

/** Where the desired state that this node follows comes from. */
export type Source = ClusterFile['source'];

/** `starting` until the first apply of every component that has something to apply is done. */
export type Phase = 'starting' | 'running' | 'stopping' | 'stopped';

/** How the node stands now. A snapshot: it does not change after it was handed out. */
export interface DiscoveryState {
  readonly phase: Phase;
  readonly node_id: string;
  readonly instance_id: string;
  readonly fleet: string;
  readonly site: string;
  readonly role: Role;
  readonly epoch: number;
  /** True while this node holds the lease of its site, by its own clock. */
  readonly leads: boolean;
  readonly leader_url?: string;
  readonly leader_node_id?: string;
  readonly control_plane_url?: string;
  /** Where the proved control plane that is followed now was dialled. Absent while none is, or while it is this node's own. */
  readonly followed_url?: string;
  readonly gateway_url?: string;
  /** What the leader reconciles for the site. */
  readonly leader_backends?: SharedBackends;
  /** Leads without the confirmation of the cloud that is configured. */
  readonly provisional: boolean;
  /** Leads and holds the lease of the cloud, by its own clock. */
  readonly confirmed: boolean;
  readonly ttl_seconds: number;
  /** Of the documents that are applied here. */
  readonly generations: { readonly plan?: number; readonly profile?: number };
  /** Those of them that are emergency versions. Absent while none is. */
  readonly emergencies?: readonly HeldEmergency[];
  readonly source?: Source;
  /** What the node waits for or can't get past, in words for a person. */
  readonly waiting_for: readonly string[];
  /** The last round of locating. */
  readonly trace?: LocateTrace;
}

/** How this boot of the node stands towards leading its site; shown to whoever challenges it. */
export interface LeadershipState {
  /** Holds the lease of its own Supervisor, by its own clock. */
  readonly leads: boolean;
  /** The highest epoch that it has ever seen. */
  readonly epoch_seen: number;
  /** May lead. */
  readonly eligible: boolean;
  /** Whom it follows. */
  readonly follows?: NonNullable<Problem['leader']>;
}

/** A Supervisor that has proved itself. */
export interface ProvedSource {
  readonly url: string;
  /** Sends this node's own credential along. Nothing bounds the answer, in time or size. */
  readonly fetch: Fetch;
}

/** Why nobody would be told that a node leaves. `copy`: another machine runs as it. `alone`: it follows nobody. */
export type Untold = 'copy' | 'alone';

export interface Discovery {
  /**
   * Lives the node's life until it is stopped. Resolves after an orderly `stop`, or at once when
   * `signal` aborts: then nothing is stopped and nothing is released, as after a crash. Never rejects.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Releases the lease and says goodbye, stops the services in reverse order. Resolves when `run` has. */
  stop(): Promise<void>;
  /** As `stop`, and tells the control plane before that this node is not expected any more. Does nothing more when it stops already. */
  leave(): Promise<void>;
  /** Why `leave` would tell nobody now; undefined where it tells somebody. */
  untold(): Untold | undefined;
  /** Something says that another leads: look for it now, at most once in a heartbeat's interval. */
  look(): void;
  /**
   * Something was published or changed: look now instead of at the next heartbeat. `published`: what is current at the
   * cloud now, which the leader of the site may not know yet.
   */
  poke(published?: DesiredGenerations): void;
  /** A node of the site knows of these generations: a hint for its leader to look at the cloud now. */
  heedDesired(desired: DesiredGenerations): void;
  /**
   * What the next apply of the held documents would do, by component; empty while none is held. With drafts: what an apply
   * of those would do. Empty before the node has started.
   */
  diff(drafts?: Drafts): Promise<ComponentDiff[]>;
  /** What the fleet wants, for who would remove something by it. */
  readonly intent: Intent;
  state(): DiscoveryState;
  /** Supervisors that may have what this node lacks, each proved before it is given. */
  sources(signal: AbortSignal): AsyncIterable<ProvedSource>;
  /** The services of the held Cluster Plan, for whatever node they are; undefined while none is held. */
  planned(): readonly PlannedService[] | undefined;
  leadership(): LeadershipState;
  /** What may be the advert of another node, come along with its challenge. */
  hear(advert: unknown): void;
  /** The fencing token of the plan that this node follows; undefined before the first one. */
  token(): FencingToken | undefined;
}
