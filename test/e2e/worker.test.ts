import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createArtifactClient } from '../../shared/artifact-client.ts';
import { createClient } from '../../shared/client.ts';
import { sha256, tgzOf } from '../support/archives.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';
import { startWorkerProcess, type WorkerProcess } from './support/worker-process.ts';

const KEY = 'a fleet key for this test only';
let worker: WorkerProcess;
let node: NodeProcess | undefined;
let dataDir: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'bootplane-worker-e2e-'));
  worker = await startWorkerProcess(KEY);
});
afterAll(async () => {
  await node?.end('SIGTERM');
  await worker?.stop();
  await rm(dataDir, { recursive: true, force: true });
});

/** Of an HTTP body whose length nobody knows before its end. */
function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(sent, sent + 1_000_000));
      sent += 1_000_000;
    },
  });
}

describe('the Worker on wrangler dev', () => {
  it('keeps an artifact of several parts in R2, gives it out whole and in ranges, and keeps none with another hash', async () => {
    const artifacts = createArtifactClient({ url: worker.url, credential: KEY });
    const bytes = randomBytes(20_000_003);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const wrong = '0'.repeat(64);
    await expect(artifacts.put(wrong, streamOf(bytes))).rejects.toMatchObject({ problem: { code: 'artifact_mismatch', status: 422 } });
    expect(await artifacts.size(wrong)).toBeUndefined();

    expect(await artifacts.put(sha256, streamOf(bytes))).toMatchObject({ sha256, size: bytes.length });
    expect(await artifacts.size(sha256)).toBe(bytes.length);
    const read = Buffer.from(await new Response((await artifacts.get(sha256)) as BodyInit).arrayBuffer());
    expect(read.equals(bytes)).toBe(true);
    const headers = { authorization: `Bearer ${KEY}`, range: 'bytes=19999990-' };
    const rest = await fetch(`${worker.url}/v1/artifacts/${sha256}`, { headers });
    expect([rest.status, rest.headers.get('content-range')]).toEqual([206, `bytes 19999990-20000002/20000003`]);
    expect(Buffer.from(await rest.arrayBuffer()).equals(bytes.subarray(19_999_990))).toBe(true);
  });

  it('gives a site the artifacts that were pushed to it alone', async () => {
    const port = await freePort();
    const server = `require('node:http').createServer((_, answer) => answer.end('from R2')).listen(${port}, '127.0.0.1');`;
    const archive = await tgzOf([{ name: 'server.js', body: server }]);
    const artifact = { sha256: sha256(archive), path: 'server.tgz' };
    await createArtifactClient({ url: worker.url, credential: KEY }).put(artifact.sha256, streamOf(archive));
    const services = [{ name: 'site', version: '1', command: ['node', 'server.js'], artifact }];
    await createClient({ url: worker.url, credential: KEY }).publish('plan', { services }, { if_match: 0 });
    node = await startNodeProcess({ dataDir, args: ['--cloud-url', worker.url, '--no-mdns'], env: { BOOTPLANE_API_KEY: KEY } });
    const said = await until('the service', async () => (await fetch(`http://127.0.0.1:${port}/`)).text());
    expect(said).toBe('from R2');
    await until('the confirmation', async () => (await node?.client.health())?.body.confirmed === true);
    expect((await node.client.health()).body.role).toBe('leader');
  });
});
