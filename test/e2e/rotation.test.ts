import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listen } from '../../runtime-node/http-server.ts';
import { type Fleets, startFleets } from '../runtime/fleets.harness.ts';
import { startOnNode } from '../runtime/node-harness.ts';
import { run } from '../support/cli.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { helloService } from './support/example-plan.ts';
import { type NodeProcess, type NodeProcessOptions, startNodeProcess } from './support/node-process.ts';

let folder: string;
let cloud: Fleets;
let server: Awaited<ReturnType<typeof listen>>;
const nodes: NodeProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-rotation-'));
  cloud = await startFleets(startOnNode);
  // One that nobody takes while the cloud is away.
  server = await listen((request) => cloud.harness.supervisor.fetch(request), '127.0.0.1', await freePort());
});
afterEach(async () => {
  // The key of before, which join keeps for a person to remove.
  for (const name of await readdir(folder)) if (name.startsWith('fleet.key.replaced-')) await rm(join(folder, name));
  for (const { child, end } of nodes.splice(0)) if (child.exitCode === null && child.signalCode === null) await end('SIGTERM');
  await server.close();
  await cloud.close();
  await rm(folder, { recursive: true, force: true });
});

async function start(options: Partial<NodeProcessOptions> = {}): Promise<NodeProcess> {
  const args = ['--no-mdns', '--fleet', 'shops', '--cloud-url', `http://127.0.0.1:${server.port}`];
  const node = await startNodeProcess({ dataDir: folder, args, ...options });
  nodes.push(node);
  return node;
}

const waitingFor = async (node: NodeProcess) => (await node.client.health()).body.waiting_for?.join('\n') ?? '';
const runsAt = (node: NodeProcess, generation: number) =>
  until(`generation ${generation} with its service`, async () => {
    const { body } = await node.client.health();
    return body.components?.services?.generation === generation && body.services?.[0]?.state === 'running';
  });

async function publish(key: string, port: number): Promise<void> {
  const { status } = await cloud.as(key, 'PUT /v1/cluster/plan', {
    body: { services: [helloService(port)] },
    headers: { 'if-match': '"0"' },
  });
  expect(status).toBe(200);
}

const answers = (port: number) =>
  fetch(`http://127.0.0.1:${port}/`).then(
    ({ ok }) => ok,
    () => false,
  );

it('a new fleet key, given by join, stops nothing while the cloud is away, and takes what is signed anew when it is back', async () => {
  const { key } = await cloud.makeFleet('shops');
  const port = await freePort();
  await publish(key, port);
  await run(['join', '-', '--no-start', '--data-dir', folder], { stdin: key });
  const before = await start();
  await runsAt(before, 1);
  // A power cut of the node alone: its services go on.
  expect(await before.end('SIGKILL')).toBe('SIGKILL');
  const { body } = await cloud.as(key, 'POST /v1/fleets/shops/rotate', { body: { overlap_seconds: 0 } });
  expect(await answers(port)).toBe(true);
  const away = server.port;
  await server.close();
  const joined = await run(['join', '-', '--replace', '--data-dir', folder], { stdin: body.key });
  expect(joined).toMatchObject({ code: 0, out: expect.stringContaining('the new key of the fleet shops') });
  const after = await start();
  await runsAt(after, 1);
  expect(await answers(port)).toBe(true);
  expect((await readdir(folder)).filter((name) => /corrupt|other-key/.test(name))).toEqual([]);
  expect(await waitingFor(after)).not.toContain('fleet key');
  server = await listen((request) => cloud.harness.supervisor.fetch(request), '127.0.0.1', away);
  await runsAt(after, 2);
  expect(await answers(port)).toBe(true);
});

it('a new fleet key in the environment does so by itself, and the key of another fleet says what to do', async () => {
  const { key } = await cloud.makeFleet('shops');
  const port = await freePort();
  await publish(key, port);
  const before = await start({ env: { BOOTPLANE_API_KEY: key } });
  await runsAt(before, 1);
  await before.end('SIGTERM');
  const { body } = await cloud.as(key, 'POST /v1/fleets/shops/rotate', { body: { overlap_seconds: 0 } });
  await server.close();
  const wrong = await start({ env: { BOOTPLANE_API_KEY: 'a-wrong-key-that-names-no-fleet' } });
  await until('what to do', async () => /generation 1 in plan\.json is not used.*--same-fleet/.test(await waitingFor(wrong)));
  await wrong.end('SIGTERM');
  const after = await start({ env: { BOOTPLANE_API_KEY: body.key } });
  await runsAt(after, 1);
  await until('a word about the key', async () => after.output().includes('the fleet key is a new one'));
});

it('a machine with the key of before asks whether it was replaced, and says the command that mends it', async () => {
  const { key } = await cloud.makeFleet('shops');
  const port = await freePort();
  await publish(key, port);
  const node = await start({ env: { BOOTPLANE_API_KEY: key } });
  await runsAt(node, 1);
  await cloud.as(key, 'POST /v1/fleets/shops/rotate', { body: { overlap_seconds: 0 } });
  const asks = /was the fleet key replaced\?.*`bootplane join - --replace/;
  const env = { BOOTPLANE_API_KEY: key };
  const cli = (command: string) => run([command, '--data-dir', folder], { env });
  await until('the question in status', async () => asks.test((await cli('status')).out));
  await until('the question in why', async () => asks.test((await cli('why')).out));
  const told = () => node.output().match(/the cloud does not confirm this node: .*was the fleet key replaced/g) ?? [];
  await until('the question in the log', async () => told().length > 0);
  expect(told()).toHaveLength(1);
  expect(await answers(port)).toBe(true);
});
