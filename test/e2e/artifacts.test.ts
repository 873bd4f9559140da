import { chmod, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256, tgzOf, zipOf } from '../support/archives.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { leading, type NodeProcess, spawnCli, startNodeProcess } from './support/node-process.ts';

const KEY = 'the fleet key of the artifact tests';
let home: string;
let nodes: NodeProcess[];
let port: number;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'artifacts-e2e-'));
  // As root, services run as another user, who has to pass through.
  await chmod(home, 0o711);
  nodes = [];
  port = await freePort();
});
afterEach(async () => {
  await Promise.all(nodes.map((node) => node.end('SIGKILL')));
  await rm(home, { recursive: true, force: true });
});

/** A node that is reached and reaches out by nothing but the loopback. */
async function start(name: string): Promise<NodeProcess> {
  const dataDir = await mkdtemp(join(home, `${name}-`));
  return restart(dataDir);
}

async function restart(dataDir: string): Promise<NodeProcess> {
  const node = await startNodeProcess({ dataDir, args: ['--no-mdns'], env: { BOOTPLANE_API_KEY: KEY } });
  nodes.push(node);
  await leading(node);
  return node;
}

async function cli(node: NodeProcess, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawnCli([...args, '--data-dir', node.dataDir], { BOOTPLANE_API_KEY: KEY });
  const written = { out: '', err: '' };
  child.stdout?.on('data', (chunk) => {
    written.out += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    written.err += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, ...written };
}

/** A program that answers with its version, read from a file beside it, and with the folder that it runs in. */
const SERVER = `
const { readFileSync } = require('node:fs');
const body = () => JSON.stringify({ version: readFileSync('version.txt', 'utf8'), pid: process.pid });
require('node:http').createServer((request, response) => response.end(body())).listen(Number(process.env.PORT), '127.0.0.1');
`;
const files = (version: string) => [
  { name: 'bin/server.js', body: SERVER },
  { name: 'bin/run', mode: 0o755, body: '#!/bin/sh\nexec node bin/server.js\n' },
  { name: 'version.txt', body: version },
];

function planWith(version: string, artifact: { sha256: string; path: string }) {
  const health = { http: `http://127.0.0.1:${port}/`, interval_seconds: 1, timeout_seconds: 30, grace_seconds: 120 };
  const env = { PORT: String(port) };
  return {
    services: [{ name: 'site', version, command: ['./bin/run'], artifact, env, health, restart: { max: 3 }, stop_grace_seconds: 2 }],
  };
}

async function publish(node: NodeProcess, version: string, artifact: { sha256: string; path: string }): Promise<void> {
  const current = await node.client.document('plan').then(
    ({ body }) => Number(body?.generation ?? 0),
    () => 0,
  );
  await until('the plan to be published', async () => {
    await node.client.publish('plan', planWith(version, artifact), { if_match: current });
    return true;
  });
}

async function push(node: NodeProcess, name: string, bytes: Uint8Array): Promise<{ sha256: string; path: string }> {
  await writeFile(join(home, name), bytes);
  const { code, out, err } = await cli(node, 'artifact', 'push', join(home, name), '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const { sha256: pushed, path, stored } = JSON.parse(out);
  expect({ pushed, path, stored }).toEqual({ pushed: sha256(bytes), path: name, stored: true });
  return { sha256: pushed, path };
}

const running = (version: string) =>
  until(`version ${version} on port ${port}`, async () => {
    const answer = (await (await fetch(`http://127.0.0.1:${port}/`)).json()) as { version: string; pid: number };
    return answer.version === version && answer;
  });

describe('services from artifacts', () => {
  it('starts, replaces and rolls back a service from what was pushed, and what can not be had stops nothing', async () => {
    const node = await start('a');
    const first = await push(node, 'site-1.tar.gz', await tgzOf(files('1')));
    await publish(node, '1.0.0', first);
    await running('1');

    const zipped = zipOf(files('2').map(({ mode, ...file }) => ({ ...file, mode: 0o100000 | (mode ?? 0o644) })));
    const second = await push(node, 'site-2.zip', zipped);
    await publish(node, '2.0.0', second);
    const { pid } = await running('2');

    await publish(node, '3.0.0', { sha256: 'f'.repeat(64), path: 'site-3.tar.gz' });
    const failed = await until('the apply to fail', async () => {
      const { body } = await node.client.status((await node.client.nodes()).body.nodes[0]?.node_id ?? '');
      const { services } = body.components;
      return services?.generation === 3 && services.status === 'failed' && services;
    });
    expect(failed.message).toContain('site stays as it is');
    expect((await running('2')).pid).toBe(pid);

    await publish(node, '1.0.0', first);
    await running('1');
    expect(await node.end('SIGTERM')).toBe(0);
  });

  it('a start with nothing but what is on the disk runs it again, and what was spoilt there is made anew', async () => {
    const node = await start('a');
    const artifact = await push(node, 'site.tgz', await tgzOf(files('1')));
    await publish(node, '1.0.0', artifact);
    await running('1');
    await node.end('SIGTERM');
    const unpacked = join(node.dataDir, 'artifacts', artifact.sha256);
    await writeFile(join(unpacked, 'version.txt'), 'x');
    const again = await restart(node.dataDir);
    await running('1');
    expect(await readFile(`${unpacked}.damaged/version.txt`, 'utf8')).toBe('x');
    await again.end('SIGTERM');
  });
});

describe('a bundle', () => {
  it('brings plan and artifacts to a node that has no network, is verified before, and goes on after a break', async () => {
    const source = await start('a');
    const artifact = await push(source, 'site.tgz', await tgzOf(files('1')));
    await publish(source, '1.0.0', artifact);
    await running('1');
    await source.client.publish('profile', { storage: { buckets: [{ name: 'captures' }] } }, { if_match: 0 });
    const bundle = join(home, 'site.bundle');
    const exported = await cli(source, 'bundle', 'export', bundle);
    expect(exported).toMatchObject({ code: 0, err: '' });
    expect(exported.out).toContain('Cluster Plan and Environment Profile, 1 artifact');
    expect(await cli(source, 'bundle', 'export', bundle)).toMatchObject({ code: 1, err: expect.stringContaining('exists already') });
    await source.end('SIGTERM');

    const target = await start('b');
    const spoilt = await readFile(bundle);
    const at = spoilt.indexOf(Buffer.from([0x1f, 0x8b]));
    spoilt[at + 20] = (spoilt[at + 20] ?? 0) ^ 1;
    await writeFile(join(home, 'spoilt.bundle'), spoilt);
    await writeFile(join(home, 'cut.bundle'), spoilt.subarray(0, spoilt.length - 2000));
    for (const bad of ['spoilt.bundle', 'cut.bundle', 'site.tgz']) {
      expect(await cli(target, 'bundle', 'import', join(home, bad)), bad).toMatchObject({
        code: 1,
        err: expect.stringContaining('nothing was changed'),
      });
    }
    await expect(target.client.document('plan')).rejects.toThrow('no Cluster Plan');
    expect((await cli(target, 'artifact', 'list')).out).toContain('no artifact is stored');

    const imported = await cli(target, 'bundle', 'import', bundle);
    expect(imported).toMatchObject({ code: 0, err: '' });
    expect(imported.out).toContain('the Cluster Plan is current now (current: generation 1)');
    await running('1');
    expect(await cli(target, 'bundle', 'import', bundle)).toMatchObject({
      code: 0,
      out: expect.stringContaining('0 artifacts stored, 1 there already'),
    });
    await target.end('SIGTERM');
  });

  it('of another fleet key is refused', async () => {
    const source = await start('a');
    await publish(source, '1.0.0', await push(source, 'site.tgz', await tgzOf(files('1'))));
    const bundle = join(home, 'site.bundle');
    expect(await cli(source, 'bundle', 'export', bundle)).toMatchObject({ code: 0 });
    const child = spawnCli(['bundle', 'import', bundle, '--data-dir', source.dataDir], {
      BOOTPLANE_API_KEY: 'the key of quite another fleet',
    });
    let err = '';
    child.stderr?.on('data', (chunk) => {
      err += chunk;
    });
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(1);
    expect(err).toContain('is not signed by this fleet');
  });
});

it('a large file is pushed once, a folder not at all', async () => {
  const node = await start('a');
  expect(await cli(node, 'artifact', 'push', home)).toMatchObject({ code: 1, err: expect.stringContaining('is a folder') });
  expect(await cli(node, 'artifact', 'push', join(home, 'missing'))).toMatchObject({
    code: 1,
    err: expect.stringContaining('does not exist'),
  });
  const file = await open(join(home, 'big.bin'), 'w');
  await file.truncate(60_000_000);
  await file.close();
  const pushed = await cli(node, 'artifact', 'push', join(home, 'big.bin'), '--name', 'tool');
  expect(pushed).toMatchObject({ code: 0, out: expect.stringMatching(/artifact: \{ sha256: [0-9a-f]{64}, path: tool \}/) });
  expect(await cli(node, 'artifact', 'push', join(home, 'big.bin'))).toMatchObject({
    code: 0,
    out: expect.stringContaining('is stored already'),
  });
  const { code, out } = await cli(node, 'artifact', 'list', '--json');
  expect({ code, sizes: JSON.parse(out).artifacts.map(({ size }: { size: number }) => size) }).toEqual({ code: 0, sizes: [60_000_000] });
});
