import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../support/seeded-random.ts';
import { dropClasses, openWeaviate, weaviateOptions, whyNoWeaviate } from '../support/weaviate.ts';
import { crashClass, expectAllThere, type Line, runWriter } from './forward-vector.support.ts';

const why = whyNoWeaviate();
const run = `Forward${crypto.randomUUID().slice(0, 8)}`;
const TOTAL = 2000;

/** Between the node and Weaviate: passes everything on, refuses everyone, or cuts connections somewhere in what is sent. */
async function startCutter() {
  const target = new URL(weaviateOptions().url);
  const random = seededRandom(11);
  const open = new Set<Socket>();
  const state = { mode: 'refuse' as 'refuse' | 'cut' | 'pass', cuts: 0 };
  const server = createServer((client) => {
    open.add(client);
    client.on('error', () => client.destroy()).on('close', () => open.delete(client));
    if (state.mode === 'refuse') return client.destroy();
    const upstream = connect(Number(target.port || 80), target.hostname);
    let left = 30_000 + random.next() * 400_000;
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
    client.on('data', (chunk) => {
      left -= chunk.length;
      if (state.mode === 'cut' && left < 0) {
        state.cuts += 1;
        client.destroy();
      } else upstream.write(chunk);
    });
    upstream.pipe(client);
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state, close };
}

describe.skipIf(why !== undefined)(`vectors that fall forward to a real Weaviate${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let folder: string;
  let cutter: Awaited<ReturnType<typeof startCutter>>;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-forward-'));
    cutter = await startCutter();
  });
  afterEach(async () => {
    await cutter.close();
    await rm(folder, { recursive: true });
    await dropClasses(run);
  });

  it('all arrive and are found, with the node killed and connections cut in the middle', async () => {
    const index = openWeaviate();
    await index.ensureClass(crashClass(run));
    const life = { folder, url: cutter.url, name: run, to: TOTAL };
    let { acked } = await runWriter({ ...life, from: 0 }, (line) => (line.acked ?? 0) >= 600);
    expect(await index.count(run)).toBe(0);
    const forwarded = (least: number) => (line: Line) => {
      if ((line.acked ?? 0) >= 1500) cutter.state.mode = 'cut';
      return (line.forwarded ?? 0) > least;
    };
    for (const least of [0, 400, 900]) ({ acked } = await runWriter({ ...life, from: acked }, forwarded(least)));
    expect(cutter.state.cuts).toBeGreaterThan(0);
    cutter.state.mode = 'pass';
    const { last } = await runWriter({ ...life, from: acked });
    expect(last).toMatchObject({ presence: 'present', waiting: 0, conflicts: 0, done: true });
    await expectAllThere(index, run, TOTAL);
    await index.close();
  });
});
