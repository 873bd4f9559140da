import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DatabaseError } from '../../shared/ports/database.ts';
import { BusError } from '../../shared/ports/event-bus.ts';
import { type Fault, OutboxWorld } from '../unit/supervisor/outbox.harness.ts';

const AWAY = new BusError('backend_away', 'away');
const GONE = new BusError('no_such_exchange', 'gone');
const FULL = new DatabaseError('full', 'the disk is full');

const busFault = fc.constantFrom<Fault>(AWAY, { lost: AWAY }, GONE, 'never');
const databaseFault = fc.constantFrom<Fault>(FULL, { lost: FULL }, 'never');
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), count: fc.constantFrom(1, 1, 3, 120) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(0, 100, 2000, 60_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stop' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('trim' as const) }) },
  // The next calls but so many meet this.
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('bus' as const), after: fc.nat(5), fault: busFault, times: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('database' as const),
      after: fc.nat(5),
      fault: databaseFault,
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const once = (after: number, times: number, fault: Fault) => {
  let calls = 0;
  return () => {
    calls += 1;
    return calls > after && calls <= after + times ? fault : undefined;
  };
};

async function take(world: OutboxWorld, one: Step): Promise<void> {
  switch (one.kind) {
    case 'write':
      for (let n = 0; n < one.count; n += 1) await world.write();
      return;
    case 'time':
      return world.clock.advance(one.ms);
    case 'crash':
      world.crash();
      return world.boot();
    case 'stop':
      await world.stop();
      return world.boot();
    case 'trim':
      // What the disk refuses is tried again with the next sweep.
      await Promise.race([world.outbox.trim().catch(() => undefined), world.clock.advance(0)]);
      return;
    case 'bus':
      world.faults.bus = once(one.after, one.times, one.fault);
      return;
    case 'database':
      world.faults.database = once(one.after, one.times, one.fault);
      return;
    default:
      one satisfies never;
  }
}

describe('whatever fails, and whenever the process dies', () => {
  test('each committed event is published, in order but for repeats, always under its own name', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const world = new OutboxWorld({ kept: 4, waiting: 1_000_000 });
        try {
          await world.listen();
          world.boot();
          for (const one of steps) await take(world, one);
          world.faults.bus = () => undefined;
          world.faults.database = () => undefined;
          // A call that never answers holds up its process: the adapters have limits, and a person has `kill`.
          world.crash();
          world.boot();
          await world.clock.advance(60_000);
          const heard = await world.heard();
          // What is under way at the disk waits for no clock.
          for (let turn = 0; turn < 1_000 && new Set(heard.map(({ message_id }) => message_id)).size < world.written; turn += 1) {
            await world.clock.advance(10);
            heard.push(...(await world.heard()));
          }
          for (const { message_id, body } of heard) expect(message_id).toBe(`event/${body.cursor}`);
          const first = [...new Set(heard.map(({ message_id }) => message_id))];
          expect(first).toEqual(Array.from({ length: world.written }, (_, n) => `event/${n + 1}`));
        } finally {
          await world.close();
        }
      }),
      { numRuns: 60 },
    );
  });
});
