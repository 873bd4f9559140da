import { spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readdirSync, writeSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiError } from '../../shared/client.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { leading, type NodeProcess, spawnCli, startNodeProcess } from './support/node-process.ts';
import { PLAN, PROFILE, settled, workersOf } from './support/offline-site.ts';

/** A small disk of its own needs root. */
let dir: string;
let mounted = false;
let node: NodeProcess | undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bootplane-small-disk-'));
  mounted = process.platform === 'linux' && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0711', 'tmpfs', dir]).status === 0;
});

afterEach(async () => {
  await node?.end('SIGTERM');
  if (mounted) spawnSync('umount', ['-l', dir]);
  await rm(dir, { recursive: true, force: true });
});

/** Writes until nothing fits any more, to the last byte. */
function fill(): void {
  const file = openSync(join(dir, 'ballast'), 'a');
  for (const size of [1024 * 1024, 4096, 1]) {
    const block = Buffer.alloc(size, 1);
    try {
      for (;;) {
        if (writeSync(file, block) < size) break;
        fsyncSync(file);
      }
    } catch {
      // full
    }
  }
  closeSync(file);
}

/** A plan of some size: what fits into a page that is already there needs no room. */
const publishNext = (one: NodeProcess, generation: number) => {
  const [worker] = PLAN.services;
  const env = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`PADDING_${index}`, `${generation} `.repeat(400)]));
  const spare = { name: 'spare', version: '1', command: ['true'], env, placement: { nodes: ['nobody'] } };
  return one.client.publish('plan', { ...PLAN, services: [worker, spare] }, { if_match: generation });
};

describe('a disk that fills up under a node', () => {
  it('stops nothing, is told in words, and passes when there is room again', async (context) => {
    if (!mounted) return context.skip();
    await chmod(dir, 0o711);
    node = await startNodeProcess({ dataDir: dir, args: ['--no-mdns', '--ttl-seconds', '2'] });
    const one = node;
    await leading(one);
    await one.client.publish('plan', PLAN, { if_match: 0 });
    await one.client.publish('profile', PROFILE, { if_match: 0 });
    const { node_id } = await settled(one);
    const [pid] = await workersOf(dir);

    fill();
    const refused = await until('a publish that is refused', async () => {
      const error = await publishNext(one, 1).catch((caught: unknown) => caught);
      return error instanceof ApiError ? error.problem : undefined;
    });
    expect(refused).toMatchObject({ code: 'storage_full', status: 507, detail: expect.stringMatching(/full.*free space/) });
    const health = await until('a node that says what it lacks', async () => {
      const { body } = await one.client.health();
      return body.status === 'degraded' && /full/.test(JSON.stringify(body.waiting_for)) ? body : undefined;
    });
    expect(health.services).toMatchObject([{ name: 'worker', state: 'running', restarts: 0 }]);
    expect(await workersOf(dir)).toEqual([pid]);
    expect(one.child.exitCode).toBeNull();

    await rm(join(dir, 'ballast'));
    expect(await settled(one)).toMatchObject({ node_id, role: 'leader' });
    const { generation } = (await one.client.document('plan')).body as { generation: number };
    await publishNext(one, generation);
    await settled(one);
    expect(await workersOf(dir)).toEqual([pid]);
    expect(await one.end('SIGTERM')).toBe(0);
    for (const name of ['supervisor.sqlite', 'bus.sqlite', 'vector.sqlite', 'storage/catalog.sqlite']) {
      const database = new Sqlite(join(dir, name));
      expect(database.pragma('integrity_check', { simple: true }), name).toBe('ok');
      database.close();
    }
    expect(readdirSync(dir).filter((file) => /corrupt|\.tmp$/.test(file))).toEqual([]);
  });

  it('before it starts keeps a node that ran here from nothing but new instructions', async (context) => {
    if (!mounted) return context.skip();
    await chmod(dir, 0o711);
    node = await startNodeProcess({ dataDir: dir, args: ['--no-mdns', '--ttl-seconds', '2'] });
    await leading(node);
    await node.client.publish('plan', PLAN, { if_match: 0 });
    await node.client.publish('profile', PROFILE, { if_match: 0 });
    await settled(node);
    const [pid] = await workersOf(dir);
    await node.end('SIGKILL');
    fill();
    const port = await freePort();
    const words = ['up', '--data-dir', dir, '--host', '127.0.0.1', '--port', String(port), '--no-mdns', '--ttl-seconds', '2'];
    const child = spawnCli(words);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part) => (output += part));
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    // Commands find it by its port only: listen.json needs room, too, and is written when there is some.
    const answers = until('an answer', async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok);
    const started = await Promise.race([answers, exited.then(() => false)]);
    expect(await workersOf(dir)).toEqual([pid]);
    await until('a word about the disk', async () => /full.*free|no space/is.test(output));
    await rm(join(dir, 'ballast'));
    if (started) {
      const told = () => readFile(join(dir, 'listen.json'), 'utf8');
      await until('a node that commands find', async () => (await told()).includes(`http://127.0.0.1:${port}`));
      child.kill('SIGKILL');
      await exited;
    }
    node = await startNodeProcess({ dataDir: dir, args: ['--no-mdns', '--ttl-seconds', '2'] });
    await settled(node);
    expect(await workersOf(dir)).toEqual([pid]);
  });
});
