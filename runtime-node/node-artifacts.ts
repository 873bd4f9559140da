import { createHash } from 'node:crypto';
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { Discovery } from '../shared/discovery/types.ts';
import type { StateFiles } from '../shared/ports/state-files.ts';
import { createArtifactStore } from '../shared/supervisor/store/artifacts.ts';
import { findAccount, findClosed } from './adapters/child-process-account.ts';
import { leavingRoom, Room } from './artifacts/room.ts';
import { createServiceArtifacts, type ServiceArtifacts } from './artifacts/service-artifacts.ts';
import type { Machine, Ports } from './compose.ts';

export interface NodeArtifactsParts {
  readonly data_dir: string;
  readonly machine: Pick<Machine, 'clock' | 'random' | 'log'> & { readonly files: StateFiles };
  readonly ports: Pick<Ports, 'storage' | 'processes' | 'externals'>;
  readonly discovery: () => Discovery | undefined;
}

/** The artifacts of one node: in its object storage for everybody, and unpacked for its services. */
export function createNodeArtifacts({ data_dir, machine, ports, discovery }: NodeArtifactsParts): ServiceArtifacts {
  const store = createArtifactStore({ storage: ports.storage, log: machine.log });
  const isHere = ports.externals?.forwards.storage === undefined;
  return createServiceArtifacts({
    ...machine,
    openFolder: () => openFolder(data_dir),
    store: isHere ? leavingRoom(store, new Room(data_dir)) : store,
    ...(isHere ? { stored_in: data_dir } : {}),
    sources: async function* (signal) {
      yield* discovery()?.sources(signal) ?? [];
    },
    running: async () => (await ports.processes.list()).filter(({ orphaned }) => !orphaned),
    planned: () => discovery()?.planned(),
  });
}

/** Where the services of a node whose data directory is closed to their user work (`ServicePlaceOptions`). */
const FALLBACK = '/var/lib/bootplane';

/** In the data directory, unless bootplane is root and the user of services can't enter that. */
async function openFolder(data_dir: string): Promise<string> {
  const own = join(data_dir, 'artifacts');
  await mkdir(own, { recursive: true, mode: 0o711 });
  const account = process.getuid?.() === 0 ? await findAccount('nobody') : undefined;
  if (account === undefined || (await findClosed(account, own, ['execute'])) === undefined) return own;
  const node = createHash('sha256')
    .update(await realpath(data_dir))
    .digest('hex')
    .slice(0, 12);
  // No service has a name that starts with a dot.
  const fallback = join(FALLBACK, node, '.artifacts');
  await mkdir(fallback, { recursive: true, mode: 0o755 });
  return fallback;
}
