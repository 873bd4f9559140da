import { type DocumentKind, type SignedDocument, signDocument } from '../../../shared/contract/document.ts';
import type { BootstrapEvent } from '../../../shared/contract/event.ts';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import type { Component, ComponentStatus, Components } from '../../../shared/contract/status.ts';
import { createDiscovery } from '../../../shared/discovery/discovery.ts';
import { identify } from '../../../shared/discovery/identify.ts';
import { createReportQueue } from '../../../shared/discovery/report-queue.ts';
import type { Discovery, DiscoveryConfig, DiscoveryDeps } from '../../../shared/discovery/types.ts';
import type { EnvironmentReconciler, ServiceManager } from '../../../shared/reconcile/types.ts';
import { drain } from '../../support/drain.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { ScriptedSupervisor } from './scripted-supervisor.ts';

export const FLEET_KEY = 'a fleet key for tests only';
export const keys = await deriveFleetKeys('default', FLEET_KEY);
export const strangers = await deriveFleetKeys('default', 'the key of some other fleet');

export const CLOUD = 'https://cloud.example';
export const SELF = 'http://192.0.2.7:7420';

export interface Draft {
  readonly generation?: number;
  readonly parent?: string;
  /** Signs; default: the fleet's own. */
  readonly signer?: typeof keys;
}

/** A document as a Supervisor of the fleet publishes it. */
export function published(kind: DocumentKind, body: Record<string, unknown>, { generation = 1, parent, signer = keys }: Draft = {}) {
  const meta = {
    generation,
    published_by: 'operator',
    published_at: toTimestamp(0),
    epoch: 1,
    ...(parent === undefined ? {} : { parent }),
  };
  return signDocument(signer.documents, { kind, fleet: 'default', meta, body });
}

/** A plan with these services, each one a `sleep`; a name may carry placement. */
export function planOf(services: readonly (string | Record<string, unknown>)[], draft: Draft = {}): Promise<SignedDocument> {
  const list = services.map((one) => ({ version: '1', command: ['sleep', '1'], ...(typeof one === 'string' ? { name: one } : one) }));
  return published('plan', { services: list }, draft);
}

export function profileOf(buckets: readonly string[], draft: Draft = {}): Promise<SignedDocument> {
  return published('profile', { storage: { buckets: buckets.map((name) => ({ name })) } }, draft);
}

function statusOf(component: Component, { generation, hash }: { generation: number; hash: string }): ComponentStatus {
  return {
    status: 'applied',
    action: 'reconcile',
    generation,
    hash,
    attempt: 1,
    duration_ms: 1,
    incompatible: [],
    at: toTimestamp(component.length),
  };
}

type Report = (event: BootstrapEvent) => void;

/** Services that only remember what they were told; `trace` reads as `apply 3: api, web` and `stop`. */
export function recordingServices(trace: string[], report: Report, node_id: string): ServiceManager & { running: string[] } {
  let status: ComponentStatus | undefined;
  const manager = {
    running: [] as string[],
    adopt: async () => void trace.push('adopt'),
    async apply({ body, generation, hash }: Parameters<ServiceManager['apply']>[0]) {
      trace.push(`apply ${generation}: ${body.map(({ name }) => name).join(', ')}`);
      manager.running = body.map(({ name }) => name);
      status = statusOf('services', { generation, hash });
      report({ node_id, component: 'services', action: 'reconcile', status: 'applied', generation, hash });
      return status;
    },
    diff: async () => ({ component: 'services', backend: 'test', actions: [] }) as const,
    reports: () => manager.running.map((name) => ({ name, version: '1', state: 'running' as const })),
    status: () => status,
    async stop() {
      trace.push('stop');
      manager.running = [];
    },
    detach: () => void trace.push('detach'),
  };
  return manager;
}

export function recordingEnvironment(trace: string[]): EnvironmentReconciler {
  let status: Components = {};
  return {
    async apply(profile) {
      trace.push(`environment ${profile.generation}: ${profile.body.storage.buckets.map(({ name }) => name).join(', ')}`);
      status = { storage: statusOf('storage', profile), broker: statusOf('broker', profile), vector: statusOf('vector', profile) };
      return status;
    },
    diff: async () => [],
    status: () => status,
  };
}

/** A machine: what outlives a boot, and the two Supervisors that it can reach. */
export class Machine {
  readonly clock: SimulatedClock;
  readonly files = memoryStateFiles();
  readonly log = recordingLog();
  readonly own: ScriptedSupervisor;
  readonly cloud: ScriptedSupervisor;
  /** What services and environment were told, over all boots. */
  readonly trace: string[] = [];
  #random = seededRandom(7);

  constructor(start?: number) {
    this.clock = new SimulatedClock(start);
    this.own = new ScriptedSupervisor(this.clock, SELF);
    this.cloud = new ScriptedSupervisor(this.clock, CLOUD);
  }

  async elapse(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      await drain();
      await this.clock.advance(Math.min(250, left));
    }
    await drain();
  }

  async boot(config: Partial<DiscoveryConfig> = {}, deps: Partial<DiscoveryDeps> = {}): Promise<Boot> {
    const { discovery, services, node_id } = await this.prepare(config, deps);
    const crash = new AbortController();
    const ended = discovery.run(crash.signal);
    await drain();
    return { discovery, services, ended, node_id, crash: () => crash.abort() };
  }

  /** A node that is put together and not started. */
  async prepare(config: Partial<DiscoveryConfig> = {}, deps: Partial<DiscoveryDeps> = {}) {
    const identity = await identify({ files: this.files, log: this.log, clock: this.clock, random: this.#random });
    const reports = createReportQueue();
    const services = recordingServices(this.trace, reports.report, identity.node_id);
    const discovery = createDiscovery({
      config: {
        fleet: 'default',
        site: 'default',
        capabilities: [],
        advertise_url: () => SELF,
        lead: true,
        peers: [],
        versions: { bootplane: '0.1.0' },
        ttl_seconds: 15,
        ...config,
      },
      identity,
      clock: this.clock,
      random: this.#random,
      log: this.log,
      files: this.files,
      fleetKeys: keys,
      credential: await keys.nodeCredential((deps.identity ?? identity).node_id),
      fetch: async (request) => {
        if (new URL(request.url).hostname !== new URL(CLOUD).hostname)
          throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
        return this.cloud.fetch(request);
      },
      self: { url: 'http://127.0.0.1:7420', fetch: this.own.fetch },
      host: () => ({ host: 'machine', ip: '192.0.2.7' }),
      environment: recordingEnvironment(this.trace),
      services,
      reports,
      ...deps,
    });
    return { discovery, services, node_id: identity.node_id };
  }

  /** The lines of the log that hold these words. */
  logged(words: string): string[] {
    return this.log.lines.map(({ message }) => message).filter((message) => message.includes(words));
  }

  cluster(): Record<string, unknown> | undefined {
    const text = this.files.texts.get('cluster.json');
    return text === undefined ? undefined : JSON.parse(text);
  }
}

export interface Boot {
  readonly discovery: Discovery;
  readonly services: ServiceManager & { running: string[] };
  readonly ended: Promise<void>;
  readonly node_id: string;
  /** Ends the node as a power cut does. */
  crash(): void;
}
