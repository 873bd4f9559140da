import { describe, expect, test } from 'vitest';
import { BusError } from '../../../shared/ports/event-bus.ts';
import type { PlannedAction } from '../../../shared/reconcile/action.ts';
import { withDeadline } from '../../../shared/reconcile/deadline.ts';
import { type ActionResult, runActions } from '../../../shared/reconcile/run-actions.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

function action(subject: string, execute: (() => Promise<void>) | undefined = async () => {}, needs: string[] = []): PlannedAction {
  const planned = { view: { kind: 'ensure', safety: 'add', subject } as const, needs };
  return execute === undefined ? planned : { ...planned, execute };
}

const fails =
  (kind: 'failed' | 'backend_away' | 'unauthorized' = 'failed') =>
  async () => {
    throw new BusError(kind, 'no luck');
  };

async function run(actions: readonly PlannedAction[], clock = new SimulatedClock()) {
  const told: ActionResult[] = [];
  const results = await runActions(actions, { clock, call_limit_ms: 1000, done: (result) => told.push(result) });
  return { results, told, outcomes: results.map(({ view, outcome }) => `${view.subject}: ${outcome}`) };
}

describe('running actions', () => {
  test('runs in order what can be run', async () => {
    const order: string[] = [];
    const note = (name: string) => async () => void order.push(name);
    const { outcomes } = await run([action('a', note('a')), { ...action('shown'), execute: undefined } as never, action('b', note('b'))]);
    expect(order).toEqual(['a', 'b']);
    expect(outcomes).toEqual(['a: applied', 'b: applied']);
  });

  test('a failed action keeps only those from running that need it, also at one remove', async () => {
    const { outcomes, told, results } = await run([
      action('queue', fails()),
      action('exchange'),
      action('binding', undefined, ['exchange', 'queue']),
      action('of binding', undefined, ['binding']),
      action('other', undefined, ['exchange']),
    ]);
    expect(outcomes).toEqual(['queue: failed', 'exchange: applied', 'binding: not_tried', 'of binding: not_tried', 'other: applied']);
    expect(told.map(({ view }) => view.subject)).toEqual(['queue', 'exchange', 'other']);
    expect(results[0]?.message).toBe('no luck (failed)');
  });

  test.each(['backend_away', 'unauthorized'] as const)('gives up after three in a row that say %s', async (kind) => {
    const { outcomes } = await run(['a', 'b', 'c', 'd', 'e'].map((name) => action(name, name === 'e' ? undefined : fails(kind))));
    expect(outcomes).toEqual(['a: failed', 'b: failed', 'c: failed', 'd: not_tried', 'e: not_tried']);
  });

  test('a success in between starts the count anew, and other errors do not count', async () => {
    const away = fails('backend_away');
    const { outcomes } = await run(
      [away, away, undefined, away, away, fails(), away, away, undefined].map((one, at) => action(`${at}`, one)),
    );
    expect(outcomes.filter((outcome) => outcome.endsWith('not_tried'))).toEqual([]);
  });

  test('a call that hangs is left after its limit, and nothing is queued behind it', async () => {
    const clock = new SimulatedClock();
    const running = run([action('hangs', () => new Promise(() => {})), action('next')], clock);
    await clock.advance(999);
    await clock.advance(1);
    const { outcomes, results } = await running;
    expect(outcomes).toEqual(['hangs: failed', 'next: not_tried']);
    expect(results[0]).toMatchObject({ duration_ms: 1000, message: 'no answer within 1 s: the backend hangs or is overloaded (deadline)' });
  });

  test('measures each action', async () => {
    const clock = new SimulatedClock();
    const running = run([action('slow', () => clock.sleep(250)), action('fast')], clock);
    await clock.advance(250);
    expect((await running).results.map(({ duration_ms }) => duration_ms)).toEqual([250, 0]);
  });
});

describe('running actions side by side', () => {
  const kinds = (kind: string, names: readonly string[], execute: (name: string) => Promise<void>): PlannedAction[] =>
    names.map((subject) => ({ view: { kind, safety: 'add', subject }, needs: [], execute: () => execute(subject) }));

  test('up to the bound within a kind, and a kind begins when the one before has ended', async () => {
    const clock = new SimulatedClock();
    const trace: string[] = [];
    let active = 0;
    let most = 0;
    const slow = async (name: string) => {
      active += 1;
      most = Math.max(most, active);
      trace.push(`${name} begins`);
      await clock.sleep(name === 'a1' ? 30 : 10);
      active -= 1;
      trace.push(`${name} ends`);
    };
    const actions = [...kinds('a', ['a1', 'a2', 'a3'], slow), ...kinds('b', ['b1'], slow)];
    const running = runActions(actions, { clock, call_limit_ms: 1000, done: () => {}, concurrency: 2 });
    await clock.advance(100);
    const results = await running;
    expect(most).toBe(2);
    expect(trace.indexOf('b1 begins')).toBeGreaterThan(trace.indexOf('a1 ends'));
    expect(results.map(({ view, outcome }) => `${view.subject} ${outcome}`)).toEqual([
      'a1 applied',
      'a2 applied',
      'a3 applied',
      'b1 applied',
    ]);
  });

  test('a call that hangs is not forgotten when another one ends well after it', async () => {
    const clock = new SimulatedClock();
    const started: string[] = [];
    const actions = kinds('a', ['hangs', 'b', 'c', 'd', 'e'], async (name) => {
      started.push(name);
      if (name === 'hangs') return new Promise(() => {});
      await clock.sleep(600);
    });
    const running = runActions([...actions, ...kinds('z', ['z1'], async () => {})], {
      ...{ clock, call_limit_ms: 1000, done: () => {}, concurrency: 2 },
    });
    for (let step = 0; step < 40; step += 1) await clock.advance(100);
    const results = await running;
    // b ends at 600 and c begins; the hang is known at 1000; c ends well at 1200.
    expect(started).toEqual(['hangs', 'b', 'c']);
    expect(results.map(({ outcome }) => outcome)).toEqual(['failed', 'applied', 'applied', 'not_tried', 'not_tried', 'not_tried']);
  });

  test('what needs one of its own kind waits for it', async () => {
    const clock = new SimulatedClock();
    const order: string[] = [];
    const [first, second] = kinds('a', ['first', 'second'], async (name) => {
      await clock.sleep(name === 'first' ? 20 : 0);
      order.push(name);
    });
    const actions = [first, { ...second, needs: ['first'] }] as PlannedAction[];
    const running = runActions(actions, { clock, call_limit_ms: 1000, done: () => {}, concurrency: 8 });
    await clock.advance(50);
    await running;
    expect(order).toEqual(['first', 'second']);
  });

  test('what the backend calls incompatible keeps nothing else from running', async () => {
    const incompatible = action('queue', async () => {
      throw new BusError('incompatible', 'it has other arguments');
    });
    const { outcomes } = await run([incompatible, action('binding', undefined, ['queue'])]);
    expect(outcomes).toEqual(['queue: incompatible', 'binding: applied']);
  });
});

describe('deadline', () => {
  test('settles as the call does and leaves no timer behind', async () => {
    const clock = new SimulatedClock();
    expect(await withDeadline(clock, 1000, async () => 'done')).toBe('done');
    await expect(withDeadline(clock, 1000, fails())).rejects.toThrow('no luck');
    const throwsAtOnce = () => {
      throw new Error('at once');
    };
    await expect(withDeadline(clock, 1000, throwsAtOnce)).rejects.toThrow('at once');
    expect(clock.sleeping).toBe(0);
  });
});
