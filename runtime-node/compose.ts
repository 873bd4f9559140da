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
export async function compose(
  { data_dir }: Pick<Config, 'data_dir'>,
  { clock, random, log, damages }: Machine,
  node_id: string,
  undo: Undo,
): Promise<Ports> {
  const inDir = (name: string) => join(data_dir, name);
  const opened = <P extends { close(): Promise<void> }>(port: P): P => {
    undo.add(() => port.close());
    return port;
  };
  const set_aside = damages.setDataAside;
  const migrations = readMigrations(join(packageRoot(), 'migrations'));
  const database = opened(openSqlite({ path: inDir('supervisor.sqlite'), clock, migrations, set_aside: damages.setAside }));
  const storage = opened(await createFsStorage({ root: inDir('storage'), clock, random, log, set_aside }));
  const vector = opened(createEmbeddedIndex({ path: inDir('vector.sqlite'), log, set_aside }));
  const bus = opened(createLocalBus({ path: inDir('bus.sqlite'), clock, random, log, set_aside }));
  const logs = createServiceLogs({ folder: inDir('logs'), clock, log });
  return {
    database,
    storage,
    bus,
    vector,
    processes: createProcessHost({ data_dir, node_id, clock, logs, set_aside: damages.setAside }),
    probe: opened(createHealthProbe({ data_dir })),
    run: async (signal) => {
      await Promise.all([storage.run(signal), logs.run(signal)]);
    },
  };
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
