import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Delivery } from '../../shared/ports/event-bus.ts';
import { type ForwardHarness, forwardHarness } from '../unit/reconcile/fall-forward/bus.harness.ts';

const METHODS = ['publish', 'publish', 'publish', 'ensureConfirms', 'readTopology', 'receive', 'ensureExchange'] as const;

/** `a.x` leads to both queues, `b.x` to one, and `silent` to none: what is published there has to reach its exchange. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('publish'),
      to: fc.constantFrom('a.x', 'b.x', 'silent'),
      count: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('cut'),
      method: fc.constantFrom(...METHODS),
      how: fc.constantFrom('before', 'after'),
      after: fc.integer({ min: 0, max: 40 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('mend') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash') }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('take'),
      queue: fc.constantFrom('both', 'one'),
      count: fc.integer({ min: 1, max: 5 }),
      settle: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.integer({ min: 1, max: 20_000 }) }) },
);
type Step = Record<string, unknown> & { do: string };

interface Told {
  /** Publishes that resolved, in the order of their calls. */
  readonly published: { id: string; to: string }[];
  /** Settled in the embedded bus: `queue id`, with how much had arrived by then. */
  readonly settled: Map<string, number>;
  /** Handed out there at some time: what comes back has lost its place. */
  readonly handed: Set<string>;
}

async function environment({ broker, fallback }: ForwardHarness) {
  for (const bus of [broker, fallback]) {
    await bus.ensureExchange({ name: 'events', type: 'topic' });
    await bus.ensureExchange({ name: 'silence', type: 'fanout' });
    for (const name of ['both', 'one']) await bus.ensureQueue({ name, type: 'classic', arguments: {} });
    await bus.ensureBinding({ exchange: 'events', queue: 'both', key: 'a.#', arguments: {} });
    await bus.ensureBinding({ exchange: 'events', queue: 'one', key: '#', arguments: {} });
  }
}

async function publish({ bus }: ForwardHarness, told: Told, to: string, from: number, count: number) {
  const ids = Array.from({ length: count }, (_, index) => `${from + index}`);
  const answers = await Promise.allSettled(
    ids.map((id) =>
      bus.publish({ exchange: to === 'silent' ? 'silence' : 'events', key: to, message_id: id, body: new TextEncoder().encode(id) }),
    ),
  );
  for (const [index, id] of ids.entries()) if (answers[index]?.status === 'fulfilled') told.published.push({ id, to });
}

/** Takes only where the broker is away: all that ever reached it is still there in the end. */
async function take({ bus, forward, arrivals }: ForwardHarness, told: Told, queue: string, limit: number, settle: boolean) {
  if (forward.status().presence !== 'away') return;
  const deliveries: Delivery[] = await bus.receive(queue, { limit }).catch(() => []);
  for (const { token, message_id } of deliveries.filter((one) => one.token.startsWith('l:'))) {
    told.handed.add(`${queue} ${message_id}`);
    if (settle) await bus.ack(queue, token).then(() => told.settled.set(`${queue} ${message_id}`, arrivals.length));
  }
}

async function play(harness: ForwardHarness, steps: readonly Step[]): Promise<Told> {
  const told: Told = { published: [], settled: new Map(), handed: new Set() };
  let next = 0;
  const { line } = harness;
  for (const step of steps) {
    const { count, ms, after } = step as unknown as Record<'count' | 'ms' | 'after', number>;
    if (step.do === 'publish') {
      const publishing = publish(harness, told, String(step.to), next, count);
      next += count;
      if (count % 2 === 0) await publishing;
      else await harness.clock.advance(1).then(() => publishing);
    } else if (step.do === 'cut') {
      let calls = 0;
      line.cutAt = ({ method }) => (method === step.method && calls++ === after ? (step.how as 'before' | 'after') : undefined);
    } else if (step.do === 'mend') {
      delete line.cutAt;
      line.isCut = false;
    } else if (step.do === 'crash') await harness.restart();
    else if (step.do === 'take') await take(harness, told, String(step.queue), count, step.settle === true);
    else await harness.clock.advance(ms);
  }
  delete line.cutAt;
  line.isCut = false;
  await harness.present();
  expect(harness.forward.status()).toMatchObject({ presence: 'present', waiting: 0, conflicts: 0 });
  return told;
}

const QUEUES: Record<string, (to: string) => boolean> = { both: (to) => to === 'a.x', one: (to) => to === 'a.x' || to === 'b.x' };

async function judge({ broker, arrivals }: ForwardHarness, { published, settled, handed }: Told) {
  for (const [queue, wants] of Object.entries(QUEUES)) {
    const there = (await broker.receive(queue, { limit: 10_000 })).map(({ message_id }) => message_id);
    const wanted = published.filter(({ to }) => wants(to)).map(({ id }) => id);
    const found = new Set(there);
    expect(wanted.filter((id) => !found.has(id) && !settled.has(`${queue} ${id}`))).toEqual([]);
    const inOrder = [...found].filter((id) => !handed.has(`${queue} ${id}`)).map(Number);
    expect(inOrder).toEqual(inOrder.toSorted((one, other) => one - other));
    for (const [name, at] of settled) {
      const [where, id] = name.split(' ');
      const later = arrivals.slice(at).filter(({ message_id, exchange, key }) => message_id === id && exchange === '' && key === queue);
      if (where === queue) expect(later).toEqual([]);
    }
  }
  const silent = new Set(arrivals.filter(({ exchange }) => exchange === 'silence').map(({ message_id }) => message_id));
  expect(published.filter(({ id, to }) => to === 'silent' && !silent.has(id))).toEqual([]);
}

it('loses nothing and keeps the order of each queue, wherever the line is cut or the node ends', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const folder = await mkdtemp(join(tmpdir(), 'bootplane-forward-'));
      const harness = await forwardHarness({ path: join(folder, 'bus.sqlite'), isCut: true });
      try {
        await environment(harness);
        await judge(harness, await play(harness, steps as Step[]));
      } finally {
        await harness.dispose();
        await rm(folder, { recursive: true });
      }
    }),
    { numRuns: Number(process.env.FORWARD_RUNS ?? 60) },
  );
});
