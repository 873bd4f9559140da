/**
 * Run by the test beside it, which kills it: object storage with an external, on the real adapters. Writes, or only lets go
 * over what waits. What has resolved is told in a file, at once; standard output only says how far it is.
 */
import { existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { argv, stdout } from 'node:process';
import { createSqliteBacklog } from '../../runtime-node/adapters/backlog/index.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createS3Storage } from '../../runtime-node/adapters/storage-s3/index.ts';
import { type ObjectStorage, StorageError } from '../../shared/ports/object-storage.ts';
import { createForwardStorage } from '../../shared/reconcile/fall-forward/storage.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';

interface Order {
  readonly folder: string;
  readonly round: number;
  /** Absent: a folder stands in for the external, and is away while a file `off` is beside it. */
  readonly s3?: { readonly endpoint: string; readonly access_key: string; readonly secret_key: string };
  /** Writers beside one another. Without any it ends when nothing waits any more. */
  readonly writers: number;
}

const { folder, round, s3, writers }: Order = JSON.parse(argv[2] ?? '');
const told = openSync(join(folder, `told-${round}`), 'a');
const random = seededRandom(round + 1);
const parts = { clock: systemClock, random, log: recordingLog() };
const external = s3 === undefined ? await openFolder() : createS3Storage({ ...s3, ...parts });
const fallback = await createFsStorage({ root: join(folder, 'storage'), ...parts });
await fallback.ensureBucket('data');
const backlog = createSqliteBacklog({ path: join(folder, 'backlog.sqlite'), ...parts });
const forward = createForwardStorage({ external, fallback, backlog, ...parts });

async function openFolder(): Promise<ObjectStorage> {
  const store = await createFsStorage({ root: join(folder, 'external'), ...parts });
  await store.ensureBucket('data');
  return new Proxy<ObjectStorage>(store, {
    get(target, name) {
      const real: unknown = Reflect.get(target, name);
      if (typeof real !== 'function') return real;
      return async (...args: unknown[]) => {
        if (existsSync(join(folder, 'off'))) throw new StorageError('backend_away', 'it is switched off');
        return real.apply(target, args);
      };
    },
  });
}

async function write(writer: number): Promise<never> {
  for (let step = 0; ; step += 1) {
    // Each key is written twice, and every fifth is deleted.
    const key = `${round}/${writer}/${Math.floor(step / 2)}`;
    const bytes = random.bytes(1 + Math.floor(random.next() * (step % 10 === 0 ? 600_000 : 20_000)));
    await attempt(key, async () => {
      const { sha256, size } = await forward.port.put('data', key, step % 3 === 0 ? new Blob([bytes]).stream() : bytes);
      return { key, sha256, size };
    });
    if (step % 10 === 9)
      await attempt(key, async () => {
        await forward.port.delete('data', key);
        return { key };
      });
  }
}

/** What is away in the middle is no success, and may have been done. */
async function attempt(key: string, work: () => Promise<object>): Promise<void> {
  writeSync(told, `${JSON.stringify({ key, trying: true })}\n`);
  const done = await work().catch((error: unknown) => {
    if (error instanceof StorageError && error.kind === 'backend_away') return undefined;
    throw error;
  });
  if (done === undefined) return;
  writeSync(told, `${JSON.stringify(done)}\n`);
  stdout.write('wrote\n');
}

const ended = new AbortController();
const running = forward.run(ended.signal);
for (let writer = 0; writer < writers; writer += 1) void write(writer);
for (let before = -1, isDone = false; !isDone; await systemClock.sleep(10)) {
  const { presence, forwarded, waiting } = forward.status();
  for (; before < forwarded; before += 1) stdout.write(before === -1 ? 'started\n' : 'forwarded\n');
  isDone = writers === 0 && presence === 'present' && waiting === 0;
}
writeSync(told, `${JSON.stringify(forward.status())}\n`);
ended.abort();
await running;
await forward.port.close();
await backlog.close();
