import type { EnvironmentComponentName } from '../contract/backlog.ts';
import type { BacklogConflicts, BacklogMove, BacklogMoved, ConflictAnswer, ConflictDecision } from '../contract/backlog-conflict.ts';
import type { DesiredGenerations } from '../contract/document.ts';
import type { FencingToken } from '../contract/headers.ts';
import type { SharedBackends } from '../contract/plan.ts';
import type { Problem } from '../contract/problem.ts';
import type { PruneAnswer, PrunePreview, PruneRequest } from '../contract/prune.ts';
import type { Drafts, ReconcileDiff } from '../contract/reconcile.ts';
import type { Health } from '../contract/status.ts';
import { RETENTION_DEFAULTS, type Retention, toRetention } from '../decide/retention.ts';
import type { ArtifactStore } from '../ports/artifact-store.ts';
import type { Clock } from '../ports/clock.ts';
import type { Database } from '../ports/database.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { Keyring, NodeFinder, TokenVerifier } from './auth.ts';
import type { DataPorts } from './data/ports.ts';
import { createHub, type Hub } from './hub.ts';
import { type CallerMemory, createCallerMemory } from './identity/caller-memory.ts';
import type { FleetRegistry } from './identity/fleets.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Overlay } from './outbox.ts';
import type { RateLimits } from './rate-limits.ts';
import { createDocumentStore, type DocumentStore } from './store/documents.ts';
import { createEmergencyStore, type EmergencyStore } from './store/emergencies.ts';
import { createEventStore, type EventStore, type NewEvent } from './store/events.ts';
import { createKeyStore, type KeyStore } from './store/keys.ts';
import { createLeaseStore, type LeaseStore } from './store/leases.ts';
import { createNodeStore, type NodeStore } from './store/nodes.ts';
import { createStateStore, type StateStore } from './store/state.ts';
import { createStatusStore, type StatusStore } from './store/status.ts';
import { createVersionStore, type VersionStore } from './store/versions.ts';
import { createVerifiedDocuments, type VerifiedDocuments } from './verified-documents.ts';

/** The node that a Supervisor runs inside; absent on Workers. */
export interface Self {
  readonly node_id: string;
  readonly instance_id: string;
  /** The site that this Supervisor answers for, where a caller names none. */
  readonly site?: string;
  /** The cloud, which alone publishes documents. Absent: this Supervisor does while its node leads. */
  readonly documents_url?: string;
  /** The origins that this node knows to be its own, as `http://192.0.2.7:7420`. Only these are proved. */
  origins(): readonly string[];
  /** Leads without the confirmation of the cloud that is configured. */
  provisional(): boolean;
  /** Holds the lease of the cloud, by its own clock. */
  confirmed(): boolean;
  /** The epoch at which this node leads now, by its own clock. Absent: it takes no calls that others pass on. */
  leading?(): number | undefined;
  /** What this node works on that other machines see too. */
  backends?(): SharedBackends;
  /** How this boot of the node stands towards leading its site. */
  leadership(): {
    /** Holds the lease of its own Supervisor. One that an earlier boot left behind does not count. */
    readonly leads: boolean;
    /** The highest epoch that it has ever seen. */
    readonly epoch_seen: number;
    /** May lead. */
    readonly eligible: boolean;
    /** Whom it follows. */
    readonly follows?: NonNullable<Problem['leader']>;
  };
  /** A node follows a leader of a later epoch than this Supervisor knows: a hint to look for that leader. */
  onHigherToken?(token: FencingToken): void;
  /** A node knows of these generations: a hint to look at the cloud, if they are news. */
  onDesired?(desired: DesiredGenerations): void;
  /** What came along with a challenge and may be the advert of the challenger: a hint, checked by who hears it. */
  hear(advert: unknown): void;
}

export type Notify = (topic: string, body: Readonly<Record<string, unknown>>, idempotency_key: string) => void;

/** Removes what the node made and its profile no longer names. */
export interface PruneHandler {
  preview(): Promise<PrunePreview>;
  run(request: PruneRequest, approved_by: string): Promise<PruneAnswer>;
}

export interface ConflictHandler {
  list(query: { component?: EnvironmentComponentName; limit: number; after?: string; id?: string }): Promise<BacklogConflicts>;
  resolve(decision: ConflictDecision, decided_by: string): Promise<ConflictAnswer>;
  move(request: BacklogMove, decided_by: string): Promise<BacklogMoved>;
}

export interface SupervisorOptions {
  readonly database: Database;
  /** For waiting and for measuring. What expires is judged by `database.now`. */
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly fleets: Keyring;
  /** Who makes and closes fleets. Absent on a node, which is of one fleet: then the routes are not there either. */
  readonly registry?: FleetRegistry;
  /** JWT mode. Absent: a JWT is no credential here. */
  readonly tokens?: TokenVerifier;
  /** Where this Supervisor has not the fleet key. Absent: it takes no credentials of other nodes then. */
  readonly finder?: NodeFinder;
  /** One for all, or that of each fleet. Absent: then the routes of artifacts say so. */
  readonly artifacts?: ArtifactStore | ((fleet: string) => ArtifactStore);
  /** What the node gives to its services. Absent where there is no node: then the routes of the data API are not there either. */
  readonly data?: DataPorts;
  /** Of bootplane; shown in OpenAPI and metrics. */
  readonly version: string;
  /** While no Cluster Plan sets one. May be a fraction. */
  readonly ttl_seconds: number;
  /** A heartbeat that says nothing new is not written again within this share of the TTL: for a database where rows have a price. Default 0. */
  readonly unwritten_share?: number;
  /** Rows a day that heartbeats and renewals may write: the TTL is stretched to stay within it. Default: no limit. */
  readonly write_budget?: number;
  /** Absent: nobody is limited. */
  readonly limits?: RateLimits;
  /** What `GET /healthz` answers. Default: `ok`. */
  readonly health?: () => Promise<Health>;
  readonly self?: Self;
  /** What the next reconcile of the node would do, or one with drafts. Absent where there is no node: then the routes are not there either. */
  readonly reconcile_diff?: (drafts?: Drafts) => Promise<ReconcileDiff>;
  /** Of the node. Absent where there is none: then the routes are not there either. */
  readonly prune?: PruneHandler;
  /** Of the node. Absent where it has no external: then the routes are not there either. */
  readonly conflicts?: ConflictHandler;
  /** Told of each event after its commit, and of each heartbeat. Best effort: never awaited; what it throws is logged and dropped. */
  readonly emit?: Notify;
  /** Where the event log goes, through an outbox. Absent (Workers): then it stays where it is, and nothing is kept for a bus. */
  readonly overlay?: Overlay;
  /** How long an event stream stays open, seconds. Default 3600; at most 60 on Workers. */
  readonly stream_seconds?: number;
  /** How often an open event stream asks the database for what other processes wrote, milliseconds. Default 2000. */
  readonly poll_ms?: number;
  /** What `sweep` keeps, and for how long. Default: `RETENTION_DEFAULTS`. */
  readonly retention?: Partial<Retention>;
  /** How many it keeps while they wait for `overlay`. Default 100000. */
  readonly waiting_events?: number;
}

/** What every route is made from: `(context: Context) => Route[]`. */
export interface Context {
  readonly options: SupervisorOptions;
  readonly retention: Retention;
  readonly nodes: NodeStore;
  readonly leases: LeaseStore;
  readonly status: StatusStore;
  readonly state: StateStore;
  readonly events: EventStore;
  /** Keys that operators issued. */
  readonly keys: KeyStore;
  /** Whose the credentials are that were verified a moment ago. */
  readonly callers: CallerMemory;
  readonly documents: {
    readonly store: DocumentStore;
    readonly versions: VersionStore;
    readonly emergencies: EmergencyStore;
    readonly verified: VerifiedDocuments;
  };
  readonly hub: Hub;
  /** Woken when what `GET /v1/news` tells may have changed. */
  readonly news: Hub;
  readonly metrics: Metrics;
  /** Tells the overlay and nobody else. Never throws. */
  readonly notify: Notify;
  /** After the commit: wakes the event streams of the fleet and tells the overlay. */
  announce(event: NewEvent): void;
  /** Writes an event by itself and announces it, unless it was written before. One that changes something goes into the batch of the change instead. */
  record(event: NewEvent): Promise<void>;
}

const NEWS: ReadonlySet<NewEvent['type']> = new Set(['overlay.leader', 'overlay.plan', 'overlay.profile']);

/** The events of a large site in the days that a broker may be away. */
export const WAITING_EVENTS = 100_000;

export function createContext(options: SupervisorOptions): Context {
  const { database } = options;
  const hub = createHub();
  const news = createHub();
  const metrics = createMetrics();
  const emergencies = createEmergencyStore(database);
  const documents = createDocumentStore(database);
  const events = createEventStore(database);
  const notify = safeNotify(options);
  const announce = (event: NewEvent) => {
    metrics.counter('bootplane_events_total', { type: event.type }).add();
    hub.wake(event.fleet);
    if (NEWS.has(event.type)) news.wake(event.fleet);
    const { fleet, type, site, node_id, data, dedupe } = event;
    notify(type, { fleet, site, ...(node_id === undefined ? {} : { node_id }), ...data }, dedupe);
  };
  return {
    options,
    retention: { ...toRetention(RETENTION_DEFAULTS), ...options.retention },
    nodes: createNodeStore(database, options),
    leases: createLeaseStore(database, options),
    status: createStatusStore(database),
    state: createStateStore(database, options),
    events,
    keys: createKeyStore(database),
    callers: createCallerMemory(options.clock),
    documents: {
      store: documents,
      versions: createVersionStore(database),
      emergencies,
      verified: createVerifiedDocuments(documents, emergencies),
    },
    hub,
    news,
    metrics,
    notify,
    announce,
    record: async (event) => {
      const [written] = await database.batch([events.append(event)]);
      if (written?.length === 1) announce(event);
    },
  };
}

function safeNotify({ emit, log }: SupervisorOptions): Notify {
  return (topic, body, idempotency_key) => {
    try {
      emit?.(topic, body, idempotency_key);
    } catch (error) {
      log.warn('the overlay did not take a notification', { topic, error: String(error) });
    }
  };
}
