import { afterEach, describe, expect, test } from 'vitest';
import { createPresence } from '../../../../shared/reconcile/fall-forward/presence.ts';
import { recordingLog } from '../../../support/recording-log.ts';
import { SimulatedClock } from '../../../support/simulated-clock.ts';

class Away extends Error {}
const isAway = (error: unknown) => error instanceof Away;
const stop = new Set<() => Promise<void>>();

afterEach(async () => {
  for (const end of stop) await end();
  stop.clear();
});

/** An external that does what the test says: at first it answers, and nothing waits. */
function start({ isStarted = true, probe = async () => {} }: { isStarted?: boolean; probe?: () => Promise<void> } = {}) {
  const clock = new SimulatedClock();
  const log = recordingLog();
  const ended = new AbortController();
  const changes: string[] = [];
  const external = {
    probes: 0,
    forwards: 0,
    probe,
    forward: async (_signal: AbortSignal) => true,
  };
  const presence = createPresence({
    clock,
    // The longest pauses that there may be.
    random: { next: () => 0.999, bytes: (length) => new Uint8Array(length), uuid: () => '' },
    log,
    name: 'storage (memory)',
    isAway,
    probe() {
      external.probes += 1;
      return external.probe();
    },
    forward(signal) {
      external.forwards += 1;
      return external.forward(signal);
    },
    changed: () => changes.push(presence.state),
  });
  const run = () => {
    const running = presence.run(ended.signal);
    stop.add(async () => {
      ended.abort();
      await running;
    });
  };
  if (isStarted) run();
  return { clock, log, presence, external, changes, run, end: () => ended.abort() };
}

const goAway = async () => {
  throw new Away('nothing listens at 192.0.2.9');
};

describe('the way of an external', () => {
  test('that answers: away until it was asked, then forwarding, then present, and nobody asks any more', async () => {
    const { clock, presence, external, changes } = start();
    expect(presence.state).toBe('away');
    await clock.advance(0);
    expect(changes).toEqual(['forwarding', 'present']);
    expect(presence.reason).toBeUndefined();
    await clock.advance(3_600_000);
    expect(external).toMatchObject({ probes: 1, forwards: 1 });
    expect(clock.sleeping).toBe(0);
  });

  test('that is away is asked again and again, ever more slowly, and what waits goes over when it answers', async () => {
    const { clock, presence, external, changes } = start({ probe: goAway });
    await clock.advance(600_000);
    expect([presence.state, presence.reason]).toEqual(['away', 'nothing listens at 192.0.2.9']);
    // One each ten seconds, and a few in the beginning.
    expect(external.probes).toBeGreaterThan(55);
    expect(external.probes).toBeLessThan(75);
    expect(external.forwards).toBe(0);
    external.probe = async () => {};
    await clock.advance(10_000);
    expect(changes).toEqual(['forwarding', 'present']);
    expect(external.forwards).toBe(1);
  });

  test('that goes away in a call is known to be away at once, is told once, and is asked at once', async () => {
    const { clock, presence, external, log } = start();
    await clock.advance(0);
    external.probe = goAway;
    for (let time = 0; time < 3; time += 1) await expect(presence.call(goAway)).rejects.toThrow(Away);
    expect([presence.state, presence.reason]).toEqual(['away', 'nothing listens at 192.0.2.9']);
    await clock.advance(0);
    expect(external.probes).toBe(2);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    external.probe = async () => {};
    await clock.advance(1000);
    expect(presence.state).toBe('present');
  });

  test('that goes away in the moment in which the last round ends is not taken for present', async () => {
    const { clock, presence, external } = start();
    external.forward = async () => {
      // Runs after the round, and before whoever waits for it.
      queueMicrotask(() => queueMicrotask(() => void presence.call(goAway).catch(() => undefined)));
      external.forward = async () => true;
      return true;
    };
    await clock.advance(20_000);
    expect(presence.state).toBe('present');
    expect(external.probes).toBe(2);
  });

  test('an error that is an answer leaves it as it is', async () => {
    const { clock, presence, external } = start();
    await clock.advance(0);
    await expect(presence.call(() => Promise.reject(new Error('no such key')))).rejects.toThrow('no such key');
    expect(await presence.call(async () => 7)).toBe(7);
    expect(presence.state).toBe('present');
    expect(external.probes).toBe(1);
  });

  test('that answers each question with an error answers: callers see that error, and it is asked with backoff', async () => {
    const { clock, presence, external, log } = start({ probe: () => Promise.reject(new Error('these keys are wrong')) });
    await clock.advance(60_000);
    expect(presence.state).toBe('forwarding');
    expect(external.forwards).toBe(0);
    expect(external.probes).toBeLessThan(20);
    expect(log.lines.some(({ message }) => message.includes('these keys are wrong'))).toBe(true);
    expect(presence.reason).toBe('these keys are wrong');
    external.probe = async () => {};
    await clock.advance(10_000);
    expect([presence.state, presence.reason]).toEqual(['present', undefined]);
  });

  test('that lets nothing go over says why, until something else keeps it', async () => {
    const { clock, presence, external } = start();
    external.forward = () => Promise.reject(new Error('no space left on it'));
    await clock.advance(60_000);
    expect([presence.state, presence.reason]).toEqual(['forwarding', 'no space left on it']);
    external.forward = async () => false;
    await clock.advance(10_000);
    expect([presence.state, presence.reason]).toEqual(['forwarding', undefined]);
  });

  test('one that goes away while something goes over is away, and the rest goes over later', async () => {
    const { clock, presence, external } = start();
    let left = 3;
    external.forward = async () => {
      left -= 1;
      return left === 0 ? true : goAway();
    };
    await clock.advance(0);
    expect(presence.state).toBe('away');
    await clock.advance(10_000);
    expect(presence.state).toBe('present');
    expect(external.forwards).toBe(3);
  });
});

describe('a wake', () => {
  test('while it is away does not cut the pause between two questions', async () => {
    const { clock, presence, external } = start({ probe: goAway });
    await clock.advance(60_000);
    const { probes } = external;
    for (let time = 0; time < 100; time += 1) {
      presence.wake();
      presence.grown();
      await presence.call(goAway).catch(() => undefined);
      await clock.advance(0);
    }
    expect(external.probes).toBe(probes);
  });

  test('when nothing waited starts a round, also one that comes just after the last', async () => {
    for (const wake of ['wake', 'grown'] as const) {
      const { clock, presence, external } = start();
      external.forward = async () => {
        external.forward = async () => true;
        queueMicrotask(() => queueMicrotask(() => presence[wake]()));
        return true;
      };
      await clock.advance(0);
      expect(external.forwards).toBe(2);
      expect(presence.state).toBe('present');
      presence[wake]();
      expect(presence.state).toBe('forwarding');
      await clock.advance(0);
      expect(external.forwards).toBe(3);
      expect(presence.state).toBe('present');
    }
  });

  test('during a round is followed by another at once', async () => {
    for (const wake of ['wake', 'grown'] as const) {
      const { clock, presence, external } = start();
      external.forward = async () => {
        if (external.forwards === 1) presence[wake]();
        return true;
      };
      await clock.advance(0);
      expect(external.forwards).toBe(2);
      expect(presence.state).toBe('present');
    }
  });

  test('where the environment is missing tries at once; without one it is tried with backoff', async () => {
    const { clock, presence, external } = start();
    let isThere = false;
    external.forward = async () => isThere;
    await clock.advance(600_000);
    expect(presence.state).toBe('forwarding');
    expect(external.forwards).toBeLessThan(75);
    expect(external.forwards).toBeGreaterThan(55);
    isThere = true;
    presence.wake();
    await clock.advance(0);
    expect(presence.state).toBe('present');
  });

  test('by a write where something can not go now is not a try', async () => {
    const { clock, presence, external } = start();
    external.forward = async () => false;
    await clock.advance(60_000);
    const { probes } = external;
    for (let time = 0; time < 100; time += 1) {
      presence.grown();
      await clock.advance(0);
    }
    expect(external.probes).toBe(probes);
  });
});

describe('the first answer', () => {
  test('is not waited for where nobody asks', async () => {
    const { presence } = start({ isStarted: false });
    await presence.asked();
    expect(presence.state).toBe('away');
  });

  test('is waited for once it is asked', async () => {
    const { clock, presence, run } = start({ isStarted: false });
    run();
    await presence.asked();
    expect(presence.state).not.toBe('away');
    await clock.advance(0);
    expect(clock.sleeping).toBe(0);
  });

  test('is not waited for longer than two seconds', async () => {
    const { clock, presence, external, run } = start({ isStarted: false });
    const answer = Promise.withResolvers<void>();
    external.probe = () => answer.promise;
    run();
    let isOver = false;
    void presence.asked().then(() => {
      isOver = true;
    });
    await clock.advance(1999);
    expect(isOver).toBe(false);
    await clock.advance(1);
    expect(isOver).toBe(true);
    expect(presence.state).toBe('away');
    answer.resolve();
    await clock.advance(0);
    expect(presence.state).toBe('present');
  });
});

test('ends where it is: asleep, in a pause, or in the middle of a round', async () => {
  const asleep = start();
  await asleep.clock.advance(0);
  asleep.end();
  const paused = start({ probe: goAway });
  await paused.clock.advance(5000);
  paused.end();
  const busy = start();
  busy.external.forward = (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(false)));
  await busy.clock.advance(0);
  busy.end();
  for (const end of stop) await end();
  for (const { clock, log } of [asleep, paused, busy]) {
    expect(clock.sleeping).toBe(0);
    expect(log.lines.filter(({ message }) => message.includes('could not go over'))).toEqual([]);
  }
});

test('that refuses with the same words each time is told of once, and again when the words are others or after it had taken all', async () => {
  const { clock, log, external, presence } = start();
  const told = () => log.lines.filter(({ level, message }) => level === 'warn' && message.includes('could not go over')).length;
  let words = 'the access key does not exist';
  external.forward = () => Promise.reject(new Error(words));
  presence.wake();
  await clock.advance(60_000);
  expect([told(), external.forwards > 3]).toEqual([1, true]);
  words = 'the disk is full';
  await clock.advance(60_000);
  expect(told()).toBe(2);
  external.forward = async () => true;
  await clock.advance(60_000);
  expect(presence.state).toBe('present');
  external.forward = () => Promise.reject(new Error(words));
  presence.wake();
  await clock.advance(60_000);
  expect(told()).toBe(3);
});
