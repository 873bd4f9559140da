import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import { createFsStorage } from '../../runtime-node/adapters/storage-fs/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import { type Client, createClient } from '../../shared/client.ts';
import { freePort } from '../support/free-port.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import { until } from '../support/until.ts';
import { helloService } from './support/example-plan.ts';
import { forge, type LyingSupervisor, startLyingSupervisor } from './support/lying-supervisor.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';

const KEY = 'a fleet key for this test only';
const PROFILE_PATH = '/v1/bootstrap/profile';
const FULL = {
  storage: { buckets: [{ name: 'captures' }, { name: 'reports' }] },
  broker: { queues: [{ name: 'frames' }, { name: 'alerts' }] },
  vector: { classes: [{ name: 'Frame' }, { name: 'Person' }] },
};
const EMPTY = { storage: { buckets: [] }, broker: { queues: [] }, vector: { classes: [] } };

let supervisor: LyingSupervisor;
let cloud: Client;
let node: NodeProcess;
let dataDir: string;
let port: number;
let renewals: NodeJS.Timeout;

/** Somebody leads the site whom the node can't reach, so that it gets all its news from the Supervisor that lies. */
async function leadFromElsewhere(): Promise<void> {
  const url = `http://127.0.0.1:${await freePort()}`;
  await cloud.register({ node_id: 'elsewhere', site: 'default', url, host: 'elsewhere', ip: '127.0.0.1', capabilities: [], versions: {} });
  const { epoch } = (await cloud.claim({ node_id: 'elsewhere', url }, 'default')).body;
  renewals = setInterval(() => void cloud.claim({ node_id: 'elsewhere', url, epoch }, 'default').catch(() => undefined), 250);
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'bootplane-bad-news-'));
  supervisor = await startLyingSupervisor(KEY);
  cloud = createClient({ url: supervisor.url, credential: KEY });
  port = await freePort();
  await cloud.publish('plan', { ttl_seconds: 1, services: [helloService(port)] }, { if_match: 0 });
  await cloud.publish('profile', FULL, { if_match: 0 });
  await leadFromElsewhere();
  node = await startNodeProcess({
    dataDir,
    args: ['--no-lead', '--no-mdns', '--cloud-url', supervisor.url],
    env: { BOOTPLANE_API_KEY: KEY },
  });
  await until('the first apply', async () => {
    const { body } = await node.client.health();
    return body.status === 'ok' && body.components?.services?.status === 'applied' && body.components.vector?.status === 'applied';
  });
});

afterAll(async () => {
  clearInterval(renewals);
  await node?.end('SIGTERM');
  await supervisor?.close();
  await rm(dataDir, { recursive: true, force: true });
});

/** The event with which the node says why it changed nothing. */
const refusal = (words: RegExp) =>
  until(`an event that says ${words}`, async () => {
    const { events } = (await cloud.events({ limit: 100 })).body;
    return events.find(({ data }) => (data.status === 'skipped' || data.status === 'failed') && words.test(String(data.message)));
  });
/** Makes the node look again: any publish moves a generation. */
let profileGeneration = 1;
const publish = async (body: unknown, allow_empty = false) => {
  await cloud.publish('profile', body, { if_match: profileGeneration, allow_empty });
  profileGeneration += 1;
};
const appliedGeneration = (generation: number) =>
  until(`generation ${generation}`, async () => {
    const { components } = (await cloud.status((await node.client.health()).body.node_id!)).body;
    return components.storage?.generation === generation && components.vector?.generation === generation;
  });
const restarts = async () => (await node.client.health()).body.services?.map(({ name, state, restarts }) => ({ name, state, restarts }));
const UNTOUCHED = [{ name: 'hello', state: 'running', restarts: 0 }];

describe('bad news never stops good work', () => {
  it('a profile that drops a bucket, a queue and a class removes none of them', async () => {
    await publish({
      storage: { buckets: [{ name: 'captures' }] },
      broker: { queues: [{ name: 'frames' }] },
      vector: { classes: [{ name: 'Frame' }] },
    });
    await appliedGeneration(2);
    expect(await restarts()).toEqual(UNTOUCHED);
  });

  it('an empty profile, published with consent, removes nothing', async () => {
    await publish(EMPTY, true);
    await appliedGeneration(3);
    expect(await restarts()).toEqual(UNTOUCHED);
  });

  it.each([
    ['a corrupt one', /hash/, (wire: Record<string, unknown>) => ({ ...wire, storage: { buckets: [{ name: 'planted' }] } })],
    [
      'one with a forged signature',
      /sign|key/,
      (wire: Record<string, unknown>) => forge(wire, { storage: { buckets: [{ name: 'planted' }] } }, profileGeneration),
    ],
    ['an older one', /is older than/, () => older],
    ['a missing one', /the Supervisor has none/, () => undefined],
  ])('%s changes nothing, and one event says why', async (_name, words, lie) => {
    const before = (await cloud.events({ limit: 500 })).body.events.length;
    supervisor.lieAbout(PROFILE_PATH, lie);
    await publish({ ...FULL, storage: { buckets: [{ name: 'captures' }, { name: `extra-${profileGeneration}` }] } });
    await until('a word about it', async () =>
      (await cloud.events({ limit: 500 })).body.events
        .slice(before)
        .some(({ data }) => (data.status === 'skipped' || data.status === 'failed') && words.test(String(data.message))),
    );
    expect(await restarts()).toEqual(UNTOUCHED);
    supervisor.lieAbout(PROFILE_PATH);
    await appliedGeneration(profileGeneration);
  });

  it('a service that no verified plan names is not started', async () => {
    supervisor.lieAbout('/v1/nodes/plan', (wire) => ({
      ...wire,
      services: [...(wire.services as object[]), { name: 'miner', version: '6.6.6' }],
    }));
    await publish(FULL);
    await refusal(/miner/);
    expect(await restarts()).toEqual(UNTOUCHED);
    supervisor.lieAbout('/v1/nodes/plan');
  });

  it('left everything where it was', async () => {
    expect(await node.end('SIGTERM')).toBe(0);
    const machine = { clock: systemClock, random: seededRandom(), log: recordingLog() };
    const storage = await createFsStorage({ root: join(dataDir, 'storage'), ...machine });
    const bus = createLocalBus({ path: join(dataDir, 'bus.sqlite'), ...machine });
    const vector = createEmbeddedIndex({ path: join(dataDir, 'vector.sqlite'), log: machine.log });
    const names = (list: readonly { name: string }[]) => list.map(({ name }) => name).sort();
    expect(names(await storage.readBuckets(['captures', 'reports', 'planted']))).toEqual(['captures', 'reports']);
    expect(names((await bus.readTopology({ exchanges: [], queues: ['frames', 'alerts'], bindings: [] })).queues)).toEqual([
      'alerts',
      'frames',
    ]);
    expect(names(await vector.readClasses(['Frame', 'Person']))).toEqual(['Frame', 'Person']);
    for (const port of [storage, bus, vector]) await port.close();
  });
});

let older: Record<string, unknown> = {};
beforeAll(async () => {
  older = (await cloud.document('profile')).body ?? {};
});
