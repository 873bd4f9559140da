import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { type ObjectStorage, StorageError } from '../../shared/ports/object-storage.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import { listenOn } from './object-storage.s3.servers.ts';
import { CEPH, openS3, titled } from './object-storage.s3.support.ts';

const NODE = fileURLToPath(new URL('forward-storage.node.ts', import.meta.url));
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-forward-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface External {
  /** How the node reaches it; absent for a folder. */
  readonly s3?: { readonly endpoint: string; readonly access_key: string; readonly secret_key: string };
  switchOn(isOn: boolean): Promise<void>;
  /** As somebody else sees it. */
  look(work: (storage: ObjectStorage) => Promise<void>): Promise<void>;
}

interface Told {
  readonly key: string;
  readonly trying?: true;
  /** Absent after a deletion. */
  readonly sha256?: string;
}

/** Runs a node. Killed after so many lines of the kind, or left to its end without. Answers with what it told. */
async function runNode(external: External, round: number, writers: number, kill?: { word: string; lines: number }): Promise<string[]> {
  const order = { folder, round, writers, ...(external.s3 === undefined ? {} : { s3: external.s3 }) };
  const child = spawn(process.execPath, [NODE, JSON.stringify(order)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === kill?.word) seen += 1;
    if (seen === kill?.lines) child.kill('SIGKILL');
  }
  expect(await exited).toEqual(kill === undefined ? [0, null] : [null, 'SIGKILL']);
  return (await readFile(join(folder, `told-${round}`), 'utf8')).trimEnd().split('\n');
}

/** Two nodes' lives of writing while it is away, five that are killed while all goes over and more is written, and one to the end. */
async function play(external: External): Promise<void> {
  const told: Told[] = [];
  const tell = (lines: readonly string[]) => told.push(...lines.filter((line) => line !== '').map((line): Told => JSON.parse(line)));
  await external.switchOn(false);
  for (const round of [0, 1]) tell(await runNode(external, round, 4, { word: 'wrote', lines: 120 }));
  await external.switchOn(true);
  for (const round of [2, 3, 4, 5, 6]) {
    tell(await runNode(external, round, 1, { word: 'forwarded', lines: 20 * (round - 1) + 3 }));
    if (round === 3) {
      await external.switchOn(false);
      tell(await runNode(external, 10 + round, 2, { word: 'wrote', lines: 30 }));
      await external.switchOn(true);
    }
  }
  const last: unknown = JSON.parse((await runNode(external, 20, 0)).at(-1) ?? '');
  expect(last).toMatchObject({ presence: 'present', waiting: 0, conflicts: 0 });
  await external.look((storage) => expectAll(storage, told));
}

async function expectAll(storage: ObjectStorage, told: readonly Told[]): Promise<void> {
  const byKey = Map.groupBy(told, ({ key }) => key);
  let stored = 0;
  for (const [key, steps] of byKey) {
    const acknowledged = steps.findLast(({ trying }) => trying !== true);
    // What was tried after that may have been done.
    const isOpen = steps.at(-1)?.trying === true;
    const found = await hashIn(storage, key);
    if (acknowledged !== undefined && !isOpen) expect([key, found]).toEqual([key, acknowledged.sha256]);
    if (acknowledged?.sha256 !== undefined && found !== undefined) stored += 1;
  }
  expect(stored).toBeGreaterThan(100);
}

/** Of the bytes themselves. */
async function hashIn(storage: ObjectStorage, key: string): Promise<string | undefined> {
  try {
    const { body } = await storage.get('data', key);
    const hash = createHash('sha256');
    for await (const chunk of body) hash.update(chunk);
    return hash.digest('hex');
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'no_such_key') return undefined;
    throw error;
  }
}

/** A wire to a server that can be cut. */
async function wireTo(endpoint: string) {
  const target = new URL(endpoint);
  const sockets = new Set<Socket>();
  let isOn = true;
  const server = createServer((incoming) => {
    if (!isOn) return void incoming.destroy();
    const onward = connect(Number(target.port), target.hostname);
    for (const [one, other] of [
      [incoming, onward],
      [onward, incoming],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.once('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  const { port, close } = await listenOn(server);
  const switchOn = async (next: boolean) => {
    isOn = next;
    if (!next) for (const socket of sockets) socket.destroy();
  };
  return { endpoint: `http://127.0.0.1:${port}`, switchOn, close };
}

describe('a node that is killed five times while objects go over loses none, doubles none and mixes up none', () => {
  it('to a folder', async () => {
    const off = join(folder, 'off');
    await play({
      switchOn: (isOn) => (isOn ? rm(off) : writeFile(off, '')),
      async look(work) {
        const root = join(folder, 'external');
        const storage = await createFsStorage({ root, clock: systemClock, random: seededRandom(), log: recordingLog() });
        await work(storage);
        await storage.close();
      },
    });
  });

  it.skipIf(CEPH.missing !== undefined)(`to an S3 store: ${titled(CEPH)}`, async () => {
    const store = await CEPH.start();
    onTestFinished(() => store.stop());
    const wire = await wireTo(store.endpoint);
    onTestFinished(() => wire.close());
    const own = openS3(store);
    onTestFinished(() => own.close());
    await own.ensureBucket('data');
    const { access_key, secret_key } = store;
    await play({ s3: { endpoint: wire.endpoint, access_key, secret_key }, switchOn: wire.switchOn, look: (work) => work(own) });
  });
});
