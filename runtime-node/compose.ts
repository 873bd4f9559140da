import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentComponentName } from '../shared/contract/backlog.ts';
import { isLoopback } from '../shared/contract/loopback.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Database } from '../shared/ports/database.ts';
import type { EventBus } from '../shared/ports/event-bus.ts';
import type { HealthProbe } from '../shared/ports/health-probe.ts';
import type { Lan } from '../shared/ports/lan.ts';
import type { Log } from '../shared/ports/log.ts';
import type { ObjectStorage } from '../shared/ports/object-storage.ts';
import type { Ownership } from '../shared/ports/ownership.ts';
import type { ProcessHost } from '../shared/ports/process-host.ts';
import type { Random } from '../shared/ports/random.ts';
import type { StateFiles } from '../shared/ports/state-files.ts';
import type { VectorIndex } from '../shared/ports/vector-index.ts';
import { keepAges } from '../shared/supervisor/store/set-back.ts';
import { createLocalBus } from './adapters/bus-local.ts';
import { createProcessHost } from './adapters/child-process.ts';
import { createNodeClock } from './adapters/clock.ts';
import { createHealthProbe } from './adapters/health-probe.ts';
import { createNodeLog } from './adapters/log.ts';
import { createSqliteOwnership } from './adapters/ownership.ts';
import { createNodeRandom } from './adapters/random.ts';
import { createServiceLogs } from './adapters/service-logs.ts';
import { openSqlite } from './adapters/sqlite.ts';
import { readMigrations } from './adapters/sqlite-migrations.ts';
import { createStateFiles } from './adapters/state-files.ts';
import { createFsStorage } from './adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from './adapters/vector-embedded.ts';
import { createAloneNotes } from './alone-notes.ts';
import type { Config } from './config.ts';
import { createDamages, type Damages } from './damages.ts';
import type { NodeForwards } from './fall-forward.ts';
import { createLateWrites, type LateWrites } from './late-writes.ts';
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
  /** Absent: nothing is noted of what this node makes, and nothing of it can be pruned. */
  readonly ownership?: Ownership;
  /** Absent where no external is configured. */
  readonly externals?: NodeForwards;
  /** Work that the adapters do by themselves (expiry, sweeping, letting go over what waits for an external), until the signal aborts. */
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
  /** What `files` could not write on a full disk. */
  readonly late: Pick<LateWrites, 'waiting' | 'run'>;
}

/** Time, randomness, the log and the node's small files: all that it needs to know who it is. */
export function openMachine({ data_dir, log }: Pick<Config, 'data_dir' | 'log'>): OpenMachine {
  const clock = createNodeClock();
  const nodeLog = createNodeLog({ format: log, clock });
  const damages = createDamages({ clock, log: nodeLog });
  const onDisk = createStateFiles({ folder: data_dir, clock, onSetAside: damages.note });
  const late = createLateWrites({ files: onDisk, clock, log: nodeLog });
  return {
    clock,
    random: createNodeRandom(clock),
    log: nodeLog,
    files: { ...late.files, idle: onDisk.idle },
    late,
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
  const database = opened(
    openSqlite({ path: inDir('supervisor.sqlite'), clock, migrations, set_aside: damages.setAside, set_back: keepAges }),
  );
  const embedded = await openEmbedded(data_dir, machine, opened);
  const externals = await openExternals(config, machine, opened);
  const forwards = await openForwards(data_dir, machine, { embedded, externals, opened });
  const { storage, broker, vector } = forwards?.forwards ?? {};
  const logs = createServiceLogs({ folder: inDir('logs'), clock, log });
  return {
    database,
    storage: storage?.port ?? embedded.storage,
    bus: broker?.port ?? embedded.broker,
    vector: vector?.port ?? embedded.vector,
    processes: createProcessHost({ data_dir, node_id, clock, logs, set_aside: damages.setAside }),
    probe: opened(createHealthProbe({ data_dir })),
    ownership: opened(createSqliteOwnership({ path: inDir('made.sqlite'), set_aside: damages.setAside })),
    ...(forwards === undefined ? {} : { externals: forwards }),
    run: async (signal) => {
      await Promise.all([embedded.storage.run(signal), logs.run(signal), forwards?.run(signal)]);
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

/** Notes what is open, so that it is closed. */
type Opened = <P extends { close(): Promise<void> }>(port: P) => P;

type Embedded = Awaited<ReturnType<typeof openEmbedded>>;

/** In the same places whether an external is configured or not: what was written before goes over, and what waits stays there. */
async function openEmbedded(data_dir: string, { clock, random, log, damages }: Machine, opened: Opened) {
  const paths = { storage: join(data_dir, 'storage'), broker: join(data_dir, 'bus.sqlite'), vector: join(data_dir, 'vector.sqlite') };
  const isNew = { storage: !existsSync(paths.storage), broker: !existsSync(paths.broker), vector: !existsSync(paths.vector) };
  const set_aside = damages.setDataAside;
  return {
    isNew,
    storage: opened(await createFsStorage({ root: paths.storage, clock, random, log, set_aside })),
    vector: opened(createEmbeddedIndex({ path: paths.vector, log, set_aside })),
    broker: opened(createLocalBus({ path: paths.broker, clock, random, log, set_aside })),
  };
}

interface Externals {
  readonly storage?: ObjectStorage;
  readonly broker?: EventBus;
  readonly vector?: VectorIndex;
}

/** A client library costs its time and memory only where it is used. Nothing is asked yet: an external may be away. */
async function openExternals(config: ComposeConfig, { clock, random, log }: Machine, opened: Opened): Promise<Externals> {
  const { s3_endpoint, s3_access_key = '', s3_secret_key = '', s3_region, amqp_url, weaviate_url, weaviate_api_key } = config;
  const externals: { -readonly [Name in keyof Externals]: Externals[Name] } = {};
  if (s3_endpoint !== undefined) {
    const { createS3Storage } = await import('./adapters/storage-s3/index.ts');
    const keys = { access_key: s3_access_key, secret_key: s3_secret_key, ...(s3_region === undefined ? {} : { region: s3_region }) };
    externals.storage = opened(createS3Storage({ endpoint: s3_endpoint, ...keys, clock, random, log }));
  }
  if (amqp_url !== undefined) {
    const { createRabbitBus } = await import('./adapters/bus-rabbitmq/index.ts');
    const management = config.rabbitmq_management_url === undefined ? {} : { management_url: config.rabbitmq_management_url };
    externals.broker = opened(createRabbitBus({ url: amqp_url, ...management, clock, random, log }));
  }
  if (weaviate_url !== undefined) {
    const { createWeaviateIndex } = await import('./adapters/vector-weaviate/index.ts');
    const key = weaviate_api_key === undefined ? {} : { api_key: weaviate_api_key };
    externals.vector = opened(createWeaviateIndex({ url: weaviate_url, ...key, clock, random, log }));
  }
  return externals;
}

/** What stands between an external and its embedded default. A node that has never had an external makes nothing for it. */
async function openForwards(
  data_dir: string,
  machine: Machine,
  { embedded, externals, opened }: { readonly embedded: Embedded; readonly externals: Externals; readonly opened: Opened },
): Promise<NodeForwards | undefined> {
  const { clock, log, damages } = machine;
  const path = join(data_dir, 'backlog.sqlite');
  const names = EnvironmentComponentName.options;
  const alone = names.filter((name) => externals[name] === undefined);
  const notes = createAloneNotes(machine);
  if (existsSync(path)) await notes.add(alone);
  if (alone.length === names.length) return undefined;
  const [{ createNodeForwards }, { createSqliteBacklog }] = await Promise.all([
    import('./fall-forward.ts'),
    import('./adapters/backlog/index.ts'),
  ]);
  const backlog = opened(createSqliteBacklog({ path, clock, log, set_aside: damages.setAside }));
  const { storage, broker, vector } = externals;
  const { isNew } = embedded;
  const forwards = createNodeForwards({
    ...{ machine, backlog, alone: notes },
    ...(storage === undefined ? {} : { storage: { external: storage, fallback: embedded.storage, isNew: isNew.storage } }),
    ...(broker === undefined ? {} : { broker: { external: broker, fallback: embedded.broker, isNew: isNew.broker } }),
    ...(vector === undefined ? {} : { vector: { external: vector, fallback: embedded.vector, isNew: isNew.vector } }),
  });
  for (const forward of Object.values(forwards.forwards)) opened(forward.port);
  return forwards;
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
