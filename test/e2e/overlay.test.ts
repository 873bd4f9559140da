import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLocalBus } from '../../runtime-node/adapters/bus-local.ts';
import type { EventRecord } from '../../shared/contract/event.ts';
import type { Health } from '../../shared/contract/status.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import { until } from '../support/until.ts';
import { type NodeProcess, startNodeProcess } from './support/node-process.ts';

const PROFILE = {
  broker: {
    exchanges: [{ name: 'overlay', type: 'topic' }],
    queues: [{ name: 'told' }],
    bindings: [{ exchange: 'overlay', queue: 'told', key: 'overlay.#' }],
  },
};
const KILLS = 5;

let dataDir: string;
let running: NodeProcess | undefined;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'bootplane-overlay-'));
});
afterEach(async () => {
  await running?.end('SIGKILL');
  await rm(dataDir, { recursive: true, force: true });
});

async function start(): Promise<NodeProcess> {
  const node = await startNodeProcess({
    dataDir,
    args: ['--profile', join(dataDir, 'profile.seed.json'), '--no-mdns', '--ttl-seconds', '3'],
  });
  running = node;
  await until('the broker', async () => isReady((await node.client.health()).body));
  return node;
}

const isReady = ({ role, components }: Health) =>
  role === 'leader' && components?.broker !== undefined && components.broker.status !== 'pending';

/** Other nodes register, many at a time, until the node is gone. `some` resolves when so many have. */
function crowd({ client }: NodeProcess, name: string, count: number): { readonly some: Promise<void>; readonly over: Promise<unknown> } {
  const about = { capabilities: [], host: 'h', ip: '192.0.2.1', versions: { bootplane: '0' } };
  const some = Promise.withResolvers<void>();
  let registered = 0;
  const one = async (worker: number) => {
    for (let n = 0; ; n += 1) {
      await client.register({ ...about, node_id: `${name}-${worker}-${n}` });
      registered += 1;
      if (registered === count) some.resolve();
    }
  };
  return { some: some.promise, over: Promise.allSettled(Array.from({ length: 8 }, (_, worker) => one(worker))) };
}

async function eventsAfter({ client }: NodeProcess, after: string): Promise<EventRecord[]> {
  const all: EventRecord[] = [];
  for (let next: string | undefined = after; next !== undefined; ) {
    const { body } = await client.events({ after: next, limit: 500 });
    all.push(...body.events);
    next = body.next;
  }
  return all;
}

it('a node that is killed again and again puts each event of its log on the bus, in order', async () => {
  await writeFile(join(dataDir, 'profile.seed.json'), JSON.stringify(PROFILE));
  let node = await start();
  const bound = (await eventsAfter(node, '0')).at(-1)?.cursor ?? '0';
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const { some, over } = crowd(node, `crowd-${kill}`, 30 * kill);
    await some;
    await node.end('SIGKILL');
    await over;
    node = await start();
  }
  const events = (await eventsAfter(node, bound)).map(({ cursor }) => cursor);
  expect(events.length).toBeGreaterThan(KILLS * 10);
  const heard: string[] = [];
  // A stop waits two seconds for the last events to reach the bus; what is left goes after the next start.
  for (let stop = 1; stop <= 5 && !heard.includes(events.at(-1) ?? ''); stop += 1) {
    if (stop > 1) node = await start();
    await node.end('SIGTERM');
    heard.push(...(await readQueue(join(dataDir, 'bus.sqlite'))));
  }
  const late = heard.filter((cursor) => Number(cursor) > Number(bound));
  // What the node wrote while it stopped comes behind.
  expect(late.slice(0, events.length)).toEqual(events);
  expect(late).toEqual([...new Set(late)].sort((a, b) => Number(a) - Number(b)));
});

async function readQueue(path: string): Promise<string[]> {
  const bus = createLocalBus({ path, clock: systemClock, random: seededRandom(), log: recordingLog() });
  const heard: string[] = [];
  for (let taken = await bus.receive('told', { limit: 1000 }); taken.length > 0; taken = await bus.receive('told', { limit: 1000 })) {
    for (const { body, token } of taken) {
      heard.push(JSON.parse(new TextDecoder().decode(body)).cursor);
      await bus.ack('told', token);
    }
  }
  await bus.close();
  return heard;
}
