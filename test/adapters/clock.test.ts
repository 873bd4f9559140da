import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BUILT_AFTER_MS, createNodeClock } from '../../runtime-node/adapters/clock.ts';

const START = Date.UTC(2026, 5, 1);

/** A machine whose time a test moves. Its uptime is exact to 10 ms, as on Linux. */
function machine({ countsSleep = false, wall = START } = {}) {
  let [awake, asleep, shift] = [0, 0, 0];
  const elapsed = () => awake + (countsSleep ? asleep : 0);
  return {
    wait: (ms: number) => {
      awake += ms;
    },
    suspend: (ms: number) => {
      asleep += ms;
    },
    setClock: (by: number) => {
      shift += by;
    },
    clock: createNodeClock({
      wall: () => wall + awake + asleep + shift,
      elapsed,
      uptime: () => Math.floor((1_000_000 + awake + asleep) / 10) * 10,
    }),
  };
}

describe('monotonic', () => {
  test('counts the time that the machine slept', () => {
    const { clock, wait, suspend } = machine();
    wait(5000);
    expect(clock.monotonic()).toBeCloseTo(5000, -2);
    suspend(3_600_000);
    expect(clock.monotonic()).toBeGreaterThanOrEqual(3_605_000 - 20);
    wait(1000);
    expect(clock.monotonic()).toBeLessThan(3_606_000 + 20);
  });

  test('counts it once where the runtime counts it too', () => {
    const { clock, wait, suspend } = machine({ countsSleep: true });
    wait(5000);
    suspend(60_000);
    expect(clock.monotonic()).toBe(65_000);
  });

  test('notices a suspend that is hidden by a change of the wall clock within a second', () => {
    const { clock, wait, suspend, setClock } = machine();
    suspend(60_000);
    setClock(-60_000);
    wait(1000);
    expect(clock.monotonic()).toBeGreaterThanOrEqual(61_000 - 20);
  });

  test('does not move with the wall clock', () => {
    const { clock, wait, setClock } = machine();
    wait(1000);
    for (const by of [86_400_000, -400 * 86_400_000]) {
      setClock(by);
      expect(clock.monotonic()).toBe(1000);
    }
  });

  test('never goes back, over short and long naps and the coarse uptime', () => {
    const { clock, wait, suspend } = machine();
    let last = clock.monotonic();
    for (let step = 0; step < 2000; step += 1) {
      wait((step * 7) % 400);
      if (step % 11 === 0) suspend((step * 13) % 700);
      const next = clock.monotonic();
      expect(next).toBeGreaterThanOrEqual(last);
      last = next;
    }
  });

  test('on this machine starts near 0 with the process and grows', () => {
    const clock = createNodeClock();
    const first = clock.monotonic();
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(10 * 60_000);
    expect(clock.monotonic()).toBeGreaterThanOrEqual(first);
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(1000);
  });
});

describe('trusted', () => {
  test('not before the program was built', () => {
    expect(machine({ wall: 0 }).clock.trusted()).toBe(false);
    expect(machine({ wall: BUILT_AFTER_MS - 1 }).clock.trusted()).toBe(false);
    expect(machine({ wall: BUILT_AFTER_MS }).clock.trusted()).toBe(true);
  });

  test.each([400 * 86_400_000, 5000, -5000, -86_400_000])('not for five minutes after a jump of %d ms', (by) => {
    const { clock, wait, setClock } = machine();
    expect(clock.trusted()).toBe(true);
    wait(60_000);
    setClock(by);
    expect(clock.trusted()).toBe(false);
    wait(5 * 60_000 - 1);
    expect(clock.trusted()).toBe(false);
    wait(1);
    expect(clock.trusted()).toBe(true);
  });

  test('a clock that comes from 1970 is trusted five minutes after it was set', () => {
    const { clock, wait, setClock } = machine({ wall: 0 });
    setClock(START);
    expect(clock.trusted()).toBe(false);
    wait(5 * 60_000);
    expect(clock.trusted()).toBe(true);
  });

  test('slewing, small steps and a suspend are no jump', () => {
    const { clock, wait, suspend, setClock } = machine();
    for (let hour = 0; hour < 48; hour += 1) {
      wait(3_600_000);
      setClock(1800);
      expect(clock.trusted()).toBe(true);
    }
    setClock(2000);
    expect(clock.trusted()).toBe(true);
    suspend(8 * 3_600_000);
    expect(clock.trusted()).toBe(true);
  });
});

describe('sleep', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const settled = async (promise: Promise<void>) => {
    let done = false;
    promise.then(() => {
      done = true;
    });
    await vi.advanceTimersByTimeAsync(0);
    return done;
  };

  test('resolves when the time is over', async () => {
    const sleeping = createNodeClock().sleep(1000);
    await vi.advanceTimersByTimeAsync(999);
    expect(await settled(sleeping)).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await settled(sleeping)).toBe(true);
  });

  test('resolves at once when its signal aborts, and keeps no timer', async () => {
    const stop = new AbortController();
    const sleeping = createNodeClock().sleep(1000, stop.signal);
    expect(await settled(sleeping)).toBe(false);
    stop.abort();
    expect(await settled(sleeping)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    expect(await settled(createNodeClock().sleep(1000, stop.signal))).toBe(true);
  });

  test('leaves no listener behind', async () => {
    const { signal } = new AbortController();
    const sleeping = [1, 2, 3].map((ms) => createNodeClock().sleep(ms, signal));
    expect(getEventListeners(signal, 'abort')).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(3);
    await Promise.all(sleeping);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  test('waits longer than a timer can', async () => {
    const stop = new AbortController();
    const month = 31 * 86_400_000;
    const sleeping = createNodeClock().sleep(month, stop.signal);
    await vi.advanceTimersByTimeAsync(month - 1);
    expect(await settled(sleeping)).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await settled(sleeping)).toBe(true);
    const given_up = createNodeClock().sleep(month, stop.signal);
    await vi.advanceTimersByTimeAsync(2 ** 31);
    stop.abort();
    expect(await settled(given_up)).toBe(true);
  });

  test.each([0, -5, Number.NaN])('takes %d for no time', async (ms) => {
    const sleeping = createNodeClock().sleep(ms);
    await vi.advanceTimersByTimeAsync(1);
    expect(await settled(sleeping)).toBe(true);
  });
});
