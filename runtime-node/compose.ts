import { join } from 'node:path';
import { isLoopback } from '../shared/contract/loopback.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Database } from '../shared/ports/database.ts';
import type { EventBus } from '../shared/ports/event-bus.ts';
import type { HealthProbe } from '../shared/ports/health-probe.ts';
import type { Lan } from '../shared/ports/lan.ts';
import type { Log } from '../shared/ports/log.ts';
import type { ObjectStorage } from '../shared/ports/object-storage.ts';
import type { ProcessHost } from '../shared/ports/process-host.ts';
import type { Random } from '../shared/ports/random.ts';
import type { StateFiles } from '../shared/ports/state-files.ts';
import type { VectorIndex } from '../shared/ports/vector-index.ts';
import { createLocalBus } from './adapters/bus-local.ts';
import { createProcessHost } from './adapters/child-process.ts';
import { createNodeClock } from './adapters/clock.ts';
import { createHealthProbe } from './adapters/health-probe.ts';
import { createNodeLog } from './adapters/log.ts';
import { createNodeRandom } from './adapters/random.ts';
import { createServiceLogs } from './adapters/service-logs.ts';
import { openSqlite } from './adapters/sqlite.ts';
import { readMigrations } from './adapters/sqlite-migrations.ts';
import { createStateFiles } from './adapters/state-files.ts';
import { createFsStorage } from './adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from './adapters/vector-embedded.ts';
import type { Config } from './config.ts';
import { createDamages, type Damages } from './damages.ts';
import { packageRoot } from './package-root.ts';
import type { Undo } from './undo.ts';

/** What the core gets from this machine. */
export interface Ports {
  readonly database: Database;
  readonly storage: ObjectStorage;
  readonly bus: EventBus;
  readonly vector: VectorIndex;
  readonly processes: ProcessHost;
  readonly probe: HealthProbe;
  /** Work that the adapters do by themselves (expiry, sweeping), until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export interface Machine {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly files: StateFiles;
  readonly damages: Damages;
}

/** The machine itself: its files can be waited for. */
export interface OpenMachine extends Machine {
  readonly files: ReturnType<typeof createStateFiles>;
}

/** Time, randomness, the log and the node's small files: all that it needs to know who it is. */
export function openMachine({ data_dir, log }: Pick<Config, 'data_dir' | 'log'>): OpenMachine {
  const clock = createNodeClock();
  const nodeLog = createNodeLog({ format: log, clock });
  const damages = createDamages({ clock, log: nodeLog });
  return {
    clock,
    random: createNodeRandom(clock),
    log: nodeLog,
    files: createStateFiles({ folder: data_dir, clock, onSetAside: damages.note }),
    damages,
  };
}

/**
 * The composition root: the only place that knows which adapter stands behind which port. When one can't
 * be opened, `undo` has those that were opened before it.
 */
export async function compose(config: ComposeConfig, machine: Machine, node_id: string, undo: Undo): Promise<Ports> {
  const { data_dir } = config;
  const { clock, log, damages } = machine;
  const inDir = (name: string) => join(data_dir, name);
  const opened = <P extends { close(): Promise<void> }>(port: P): P => {
    undo.add(() => port.close());
    return port;
  };
  const migrations = readMigrations(join(packageRoot(), 'migrations'));
  const database = opened(openSqlite({ path: inDir('supervisor.sqlite'), clock, migrations, set_aside: damages.setAside }));
  const { storage, expire } = await openStorage(config, machine);
  opened(storage);
  const vector = opened(await openIndex(config, machine));
  const bus = opened(await openBus(config, machine));
  const logs = createServiceLogs({ folder: inDir('logs'), clock, log });
  return {
    database,
    storage,
    bus,
    vector,
    processes: createProcessHost({ data_dir, node_id, clock, logs, set_aside: damages.setAside }),
    probe: opened(createHealthProbe({ data_dir })),
    run: async (signal) => {
      await Promise.all([expire(signal), logs.run(signal)]);
    },
  };
}

type ComposeConfig = Pick<
  Config,
  | 'data_dir'
  | 's3_endpoint'
  | 's3_access_key'
  | 's3_secret_key'
  | 's3_region'
  | 'amqp_url'
  | 'rabbitmq_management_url'
  | 'weaviate_url'
  | 'weaviate_api_key'
>;

/** With what it expires by itself. A store of its own does that elsewhere. */
async function openStorage(
  { data_dir, s3_endpoint, s3_access_key = '', s3_secret_key = '', s3_region }: ComposeConfig,
  { clock, random, log, damages }: Machine,
): Promise<{ storage: ObjectStorage; expire(signal: AbortSignal): Promise<void> }> {
  if (s3_endpoint === undefined) {
    const storage = await createFsStorage({ root: join(data_dir, 'storage'), clock, random, log, set_aside: damages.setDataAside });
    return { storage, expire: (signal) => storage.run(signal) };
  }
  // A client library costs its time and memory only where it is used.
  const { createS3Storage } = await import('./adapters/storage-s3/index.ts');
  const keys = { access_key: s3_access_key, secret_key: s3_secret_key, ...(s3_region === undefined ? {} : { region: s3_region }) };
  return { storage: createS3Storage({ endpoint: s3_endpoint, ...keys, clock, random, log }), expire: async () => undefined };
}

async function openIndex(
  { data_dir, weaviate_url, weaviate_api_key }: ComposeConfig,
  { clock, random, log, damages }: Machine,
): Promise<VectorIndex> {
  if (weaviate_url === undefined)
    return createEmbeddedIndex({ path: join(data_dir, 'vector.sqlite'), log, set_aside: damages.setDataAside });
  const { createWeaviateIndex } = await import('./adapters/vector-weaviate/index.ts');
  return createWeaviateIndex({
    url: weaviate_url,
    ...(weaviate_api_key === undefined ? {} : { api_key: weaviate_api_key }),
    clock,
    random,
    log,
  });
}

async function openBus(
  { data_dir, amqp_url, rabbitmq_management_url }: ComposeConfig,
  { clock, random, log, damages }: Machine,
): Promise<EventBus> {
  if (amqp_url === undefined)
    return createLocalBus({ path: join(data_dir, 'bus.sqlite'), clock, random, log, set_aside: damages.setDataAside });
  const { createRabbitBus } = await import('./adapters/bus-rabbitmq/index.ts');
  const management = rabbitmq_management_url === undefined ? {} : { management_url: rabbitmq_management_url };
  return createRabbitBus({ url: amqp_url, ...management, clock, random, log });
}

/**
 * The local network. Undefined when it is switched off, and for a node that listens for its own machine
 * only, unless an interface is named.
 */
export async function openLan(
  { mdns, interfaces, host, advertise_url }: Pick<Config, 'mdns' | 'interfaces' | 'host' | 'advertise_url'>,
  { clock, random, log }: Machine,
  undo: Undo,
): Promise<Lan | undefined> {
  // By what is configured, not by the addresses of now: the network may come later than the node.
  const own = advertise_url ?? `http://${host.includes(':') ? `[${host}]` : host}`;
  if (!mdns || (interfaces.length === 0 && isLoopback(own))) return undefined;
  // A node that needs no network does not load the library.
  const { createMdnsLan } = await import('./adapters/mdns.ts');
  const lan = createMdnsLan({ clock, random, log, interfaces });
  undo.add(() => lan.close());
  return lan;
}
