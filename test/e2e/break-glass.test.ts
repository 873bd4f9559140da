import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../shared/client.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { type NodeProcess, spawnCli, startNodeProcess } from './support/node-process.ts';
import { startWorkerProcess, type WorkerProcess } from './support/worker-process.ts';

const KEY = 'a fleet key for the test of break glass only';
let worker: WorkerProcess;
let folder: string;
let node: NodeProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-break-glass-'));
  worker = await startWorkerProcess(KEY);
});

afterAll(async () => {
  await node?.end('SIGTERM');
  await worker?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A service that tells the id of its process. */
function tellsPid(name: string, port: number) {
  const script = `require('node:http').createServer((_, answer) => answer.end(JSON.stringify({ pid: process.pid }))).listen(${port}, '127.0.0.1')`;
  return { name, version: '1', command: ['node', '-e', script] };
}

/** A command of a person on the machine of the node. */
async function bootplane(...args: readonly string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  const child = spawnCli([...args, '--data-dir', folder], { BOOTPLANE_API_KEY: KEY });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text += String(chunk)));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, text };
}

describe('a site whose cloud is out of reach', () => {
  it('publishes nothing for the fleet, acts by an emergency version, and goes on with the cloud when that has published again', async () => {
    const cloud = createClient({ url: worker.url, credential: KEY });
    const [first, second] = [await freePort(), await freePort()];
    const [hello, rescue] = [tellsPid('hello', first), tellsPid('rescue', second)];
    const file = async (name: string, services: readonly object[]) => {
      const path = join(folder, name);
      await writeFile(path, JSON.stringify({ ttl_seconds: 3, services }));
      return path;
    };
    const pidAt = async (port: number) => {
      const answer = (await (await fetch(`http://127.0.0.1:${port}/`)).json()) as { readonly pid: number };
      return answer.pid;
    };
    const runs = (port: number) => until(`the service at ${port}`, () => pidAt(port).catch(() => undefined));
    const isGone = (port: number) =>
      until(`the end of the service at ${port}`, () =>
        pidAt(port).then(
          () => undefined,
          () => true,
        ),
      );
    const health = async () => (await node!.client.health()).body;

    node = await startNodeProcess({ dataDir: folder, args: ['--cloud-url', worker.url], env: { BOOTPLANE_API_KEY: KEY } });
    await until('a leader that the cloud confirms', async () => ((await health()).confirmed ? true : undefined));

    // Through its node the operator publishes at the cloud, and the site has it at once.
    const published = await bootplane('plan', 'publish', await file('one.json', [hello]), '--yes');
    expect(published).toMatchObject({ code: 0, text: expect.stringContaining('published generation 1') });
    expect((await cloud.document('plan')).body).toMatchObject({ generation: 1 });
    const pid = await runs(first);

    const early = await bootplane('plan', 'publish', await file('early.json', [hello, rescue]), '--yes');
    expect(early).toMatchObject({ code: 0, text: expect.stringContaining('published generation 2') });
    const rescued = await runs(second);
    expect(await pidAt(first)).toBe(pid);

    await worker.halt();
    await until('a leader without confirmation', async () => ((await health()).provisional ? true : undefined));
    const refused = await bootplane('plan', 'publish', await file('two.json', [rescue]), '--yes');
    expect(refused.code).not.toBe(0);
    for (const words of ['the cloud decides', 'Nothing was published', '--break-glass']) expect(refused.text).toContain(words);
    expect((await node.client.history('plan')).body.versions.map(({ generation }) => generation)).toEqual([2, 1]);

    const broken = await bootplane('plan', 'publish', await file('two.json', [rescue]), '--break-glass', '--yes');
    expect(broken).toMatchObject({ code: 0, text: expect.stringContaining('published emergency version 1 on generation 2') });
    expect(broken.text).toContain('It holds until the cloud publishes a newer plan');
    await isGone(first);
    expect(await pidAt(second)).toBe(rescued);
    expect((await bootplane('status')).text).toContain('the plan is emergency version 1 on generation 2');
    expect((await bootplane('plan', 'get')).text).toContain('# Cluster Plan, emergency version 1 on generation 2 of the site default');

    await worker.resume();
    await until('the confirmation of the cloud', async () => ((await health()).confirmed ? true : undefined));
    const shown = await until('the emergency version at the cloud', async () => (await cloud.history('plan')).body.emergencies);
    expect(shown).toMatchObject([{ generation: 2, emergency: { site: 'default', base_generation: 2, n: 1 }, holds: true }]);
    expect((await cloud.state()).body.emergencies).toMatchObject([{ kind: 'plan', n: 1 }]);
    expect((await cloud.document('plan')).body).toMatchObject({ generation: 2 });
    expect(await pidAt(second)).toBe(rescued);

    // What ends it is what the cloud publishes next.
    const agreed = await bootplane('plan', 'publish', await file('three.json', [hello, rescue]), '--yes');
    expect(agreed).toMatchObject({ code: 0, text: expect.stringContaining('published generation 3') });
    expect(agreed.text).toContain('This ends emergency version 1 on generation 2');
    expect(await runs(first)).not.toBe(pid);
    expect(await pidAt(second)).toBe(rescued);
    expect((await health()).emergencies).toBeUndefined();
    expect((await bootplane('plan', 'history')).text).toMatch(/2 e1 .*emergency version of the site default, over/);
    expect((await cloud.state()).body.emergencies).toBeUndefined();
  });
});
