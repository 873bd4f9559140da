import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { connectServices } from '../../runtime-node/services.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Services } from '../../shared/services/index.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { helloService } from './support/example-plan.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';

const PROFILE = parse(readFileSync(resolve('docs/examples/profile.yaml'), 'utf8'));

let dataDir: string;
let servicePort: number;
let nodePort: number;
const running: NodeProcess[] = [];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'bootplane-data-'));
  servicePort = await freePort();
  nodePort = await freePort();
});

afterEach(async () => {
  for (const node of running.splice(0)) await node.end('SIGTERM');
  await rm(dataDir, { recursive: true, force: true });
});

/** A node with the profile and the service of the examples. */
async function start(services: readonly object[] = [helloService(servicePort)]): Promise<NodeProcess> {
  await writeFile(`${dataDir}/plan.seed.json`, JSON.stringify({ ttl_seconds: 3, services }));
  await writeFile(`${dataDir}/profile.seed.json`, JSON.stringify(PROFILE));
  const seeds = ['--plan', `${dataDir}/plan.seed.json`, '--profile', `${dataDir}/profile.seed.json`];
  const node = await startNodeProcess({ dataDir, args: [...seeds, '--port', String(nodePort)] });
  running.push(node);
  await until('health ok', async () => {
    const { body } = await node.client.health();
    return body.status === 'ok' && Object.keys(body.components ?? {}).length === 4;
  });
  return node;
}

async function tokenOf(node: NodeProcess, service = 'hello'): Promise<string> {
  const keys = await deriveFleetKeys('default', (await readFile(join(dataDir, 'fleet.key'), 'utf8')).trim());
  return keys.serviceToken((await node.client.health()).body.node_id ?? '', service);
}

/** As a service of the node would be connected. */
const connected = async (node: NodeProcess): Promise<Services> => connectServices({ url: node.url, token: await tokenOf(node) });

// biome-ignore lint/suspicious/noExplicitAny: what the example service answers
async function ask(path: string, init?: RequestInit): Promise<any> {
  const answer = await fetch(`http://127.0.0.1:${servicePort}${path}`, init);
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(body)}`);
  return body;
}

const takePicture = (camera: string, body: string) => ask(`/frames?camera=${camera}`, { method: 'POST', body });
const alike = (key: string, count: number) =>
  until(`${count} pictures that look alike`, async () => {
    const { hits } = await ask(`/alike?to=${encodeURIComponent(key)}`);
    return hits.length === count ? hits : undefined;
  });

describe('the example service', () => {
  it('keeps objects, hands messages on and finds vectors, also after its node was killed and started again', async () => {
    const first = await start();
    const door = await takePicture('door', 'a picture of a door');
    expect(door).toMatchObject({ routed: true, key: expect.stringMatching(/^raw\/door\//) });
    const yard = await takePicture('yard', '0123456789');
    expect(await alike(door.key, 2)).toMatchObject([
      { key: door.key, camera: 'door', distance: expect.closeTo(0, 5) },
      { key: yard.key, camera: 'yard' },
    ]);
    const pid = await servicePid();

    running.splice(0);
    await first.end('SIGKILL');
    // The service goes on, and does again what it could not do meanwhile, with the token that it has.
    await start();
    expect(await servicePid()).toBe(pid);
    const third = await until('the next picture', () => takePicture('door', 'a picture of a door'));
    expect(await alike(third.key, 3)).toHaveLength(3);
    expect(await readFile(join(dataDir, 'logs/hello.log'), 'utf8')).not.toContain('bps~');
  });
});

async function servicePid(): Promise<string> {
  return until('the process of the service', async () => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const read = (pid: string, file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
    for (const pid of pids) {
      if ((await read(pid, 'environ')).includes(`PORT=${servicePort}\0`) && (await read(pid, 'cmdline')).includes('server.js')) return pid;
    }
    return undefined;
  });
}

describe('the data API of a node', () => {
  it('is given to nobody from another address, and to no other credential', async () => {
    const node = await start([]);
    const token = await tokenOf(node);
    const ask = (as: string, from: string) => statusOf(`${node.url}/v1/objects/captures`, as, from);
    expect(await ask(token, '127.0.0.1')).toBe(200);
    expect(await ask('bps~default~other~hello~AAAA', '127.0.0.1')).toBe(401);
    // An address of this machine that is not of the loopback is another machine to a node that listens on the loopback.
    const outside = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .find(({ internal, family }) => !internal && family === 'IPv4');
    if (outside !== undefined) expect(await ask(token, outside.address)).toBe(403);
    expect(node.output()).not.toContain(token);
  });

  it('streams a large object both ways without keeping it in memory', async () => {
    const node = await start([]);
    const { objects } = await connected(node);
    const SIZE = 200 * 1024 * 1024;
    await objects.put('captures', 'warm', 'up');
    const before = residentBytes(node);
    let highest = before;
    const watch = setInterval(() => {
      highest = Math.max(highest, residentBytes(node));
    }, 20);
    const info = await objects.put('captures', 'large', bytesOf(SIZE));
    expect(info.size).toBe(SIZE);
    const found = await objects.get('captures', 'large');
    let read = 0;
    for await (const chunk of found?.body ?? []) read += chunk.byteLength;
    clearInterval(watch);
    expect(read).toBe(SIZE);
    expect(highest - before).toBeLessThan(SIZE / 2);
    const part = await objects.get('captures', 'large', { range: { start: SIZE - 3 } });
    expect(await part?.bytes()).toHaveLength(3);
  });

  it('keeps nothing of an upload that its sender broke off', async () => {
    const node = await start([]);
    const { objects } = await connected(node);
    const ending = new AbortController();
    const headers = { authorization: `Bearer ${await tokenOf(node)}` };
    const init = { method: 'PUT', body: bytesOf(50 * 1024 * 1024, () => ending.abort()), headers, signal: ending.signal, duplex: 'half' };
    await expect(fetch(`${node.url}/v1/objects/captures/half`, init as RequestInit)).rejects.toThrow();
    expect((await objects.list('captures')).objects).toEqual([]);
    await objects.put('captures', 'half', 'whole');
    expect(await (await objects.get('captures', 'half'))?.text()).toBe('whole');
    expect(node.output()).not.toMatch(/"level":(?:50|"error")/);
  });

  it('says why it does not take an upload, however large that is', async () => {
    const node = await start([]);
    const { objects } = await connected(node);
    await expect(objects.put('elsewhere', 'k', bytesOf(20 * 1024 * 1024))).rejects.toMatchObject({ problem: { code: 'no_such_bucket' } });
    await expect(objects.put('captures', 'a//b', bytesOf(20 * 1024 * 1024))).rejects.toMatchObject({
      problem: { code: 'invalid_parameter' },
    });
  });

  it('leaves a message to others when the one that waited for it is gone', async () => {
    const node = await start([]);
    const { messages } = await connected(node);
    const ending = new AbortController();
    const gone = messages.pull('frames', { wait_ms: 30_000, visibility_ms: 86_400_000, signal: ending.signal });
    setTimeout(() => ending.abort(), 200);
    await expect(gone).rejects.toThrow();
    // The node hears of it a moment later; until then the message may go to the one that is gone, and comes back.
    await messages.publish('cameras', { key: 'frame.new', message_id: 'm' });
    const [delivery] = await messages.pull('frames', { wait_ms: 10_000, visibility_ms: 1000 });
    expect(delivery?.message_id).toBe('m');
    const [again] = await messages.pull('frames', { wait_ms: 10_000 });
    expect(again).toMatchObject({ message_id: 'm', redelivered: true });
    await messages.ack('frames', again?.token ?? '');
  });
});

function statusOf(url: string, token: string, localAddress: string): Promise<number | undefined> {
  return new Promise((done, reject) => {
    const asked = request(url, { localAddress, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      answer.resume();
      done(answer.statusCode);
    });
    asked.once('error', reject);
    asked.end();
  });
}

function residentBytes({ child }: NodeProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** `size` bytes in pieces; `half` is called in the middle. */
function bytesOf(size: number, half: () => void = () => undefined): ReadableStream<Uint8Array> {
  const piece = crypto.getRandomValues(new Uint8Array(64 * 1024));
  let left = size;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(piece);
      left -= piece.byteLength;
      if (left <= size / 2 && left + piece.byteLength > size / 2) half();
      if (left <= 0) controller.close();
    },
  });
}
