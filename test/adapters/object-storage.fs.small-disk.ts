/** Run by the disk test inside a tmpfs of 8 MiB: fills it, remounts it read-only, prints what happened as JSON. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { StorageError } from '../../shared/ports/object-storage.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const [mount = ''] = process.argv.slice(2);
const open = () => createFsStorage({ root: join(mount, 'root'), clock: new SimulatedClock(), random: seededRandom(), log: recordingLog() });
const storage = await open();
const put = (key: string, body: Uint8Array | ReadableStream<Uint8Array>) => storage.put('bucket', key, body);
const outcome = (call: Promise<unknown>) =>
  call.then(
    () => 'stored',
    (error: unknown) => (error instanceof StorageError ? error : new StorageError('failed', String(error))),
  );
const kind = (result: string | StorageError) => (result instanceof StorageError ? result.kind : result);

await storage.ensureBucket('bucket');
await put('old', new TextEncoder().encode('old'));
const fullPut = await outcome(put('big', new Uint8Array(9_000_000)));
const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
const fullStream = await outcome(put('old', endless));

// Small ones until the last page is taken: the catalog's own commits meet the full disk too.
let many: string | StorageError = 'stored';
let count = 0;
for (; many === 'stored' && count < 5000; count += 1) many = await outcome(put(`small-${count}`, new Uint8Array(2000)));
const listed = (await storage.list('bucket')).objects;
const old = await new Response((await storage.get('bucket', 'old')).body as BodyInit).text();
for (const { key } of listed) await new Response((await storage.get('bucket', key)).body as BodyInit).arrayBuffer();

const deletes = new Set<string>();
for (const { key } of listed.slice(-20)) deletes.add(kind(await outcome(storage.delete('bucket', key))));
const afterSpace = await outcome(put('after', new Uint8Array(2000)));

await storage.close();
const remount = spawnSync('mount', ['-o', 'remount,ro', mount], { encoding: 'utf8' });
if (remount.status !== 0) throw new Error(remount.stderr);
const readOnly = await outcome(open());
process.stdout.write(
  JSON.stringify({
    full_put: kind(fullPut),
    full_stream: kind(fullStream),
    many: kind(many),
    old,
    bodies_left: listed.length === Math.min(count, 1000),
    deletes: [...deletes],
    after_space: kind(afterSpace),
    read_only: kind(readOnly),
    read_only_message: readOnly instanceof StorageError ? readOnly.message.slice(readOnly.message.lastIndexOf('root: ') + 6) : readOnly,
  }),
);
