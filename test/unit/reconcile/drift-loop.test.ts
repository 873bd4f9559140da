import { expect, test } from 'vitest';
import type { EnvironmentProfile } from '../../../shared/contract/profile.ts';
import { driftDelayMs, runDriftLoop } from '../../../shared/reconcile/drift-loop.ts';
import type { Desired } from '../../../shared/reconcile/types.ts';
import { desiredProfile } from '../../support/memory-environment.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

function loop(desired: () => Desired<EnvironmentProfile> | undefined, apply: () => Promise<object> = async () => ({})) {
  const clock = new SimulatedClock();
  const applied: { generation: number; at: number }[] = [];
  const [log, ended] = [recordingLog(), new AbortController()];
  const reconciler = {
    apply: async ({ generation }: Desired<EnvironmentProfile>) => {
      applied.push({ generation, at: clock.monotonic() });
      return await apply();
    },
  };
  const done = runDriftLoop({ reconciler, desired, clock, random: seededRandom(7), log }, ended.signal);
  return { clock, applied, log, ended, done };
}

test('waits at most the interval, and at least four fifths of it', () => {
  expect(driftDelayMs(60_000, 0)).toBeGreaterThan(48_000);
  expect(driftDelayMs(60_000, 0.999_999)).toBeLessThanOrEqual(60_000);
  expect(driftDelayMs(60_000, 0.5)).toBeGreaterThan(driftDelayMs(60_000, 0.1));
});

test('applies the last desired profile once in each interval, at times that differ', async () => {
  const [first, second] = [await desiredProfile({}, 1), await desiredProfile({}, 2)];
  let desired: Desired<EnvironmentProfile> | undefined;
  const { clock, applied, ended, done } = loop(() => desired);
  await clock.advance(120_000);
  expect(applied).toEqual([]);
  desired = first;
  await clock.advance(60_000);
  desired = second;
  await clock.advance(600_000);
  expect(applied[0]?.generation).toBe(1);
  expect(applied.at(-1)?.generation).toBe(2);
  expect(applied.length).toBeGreaterThanOrEqual(11);
  const gaps = applied.slice(1).map(({ at }, index) => at - (applied[index]?.at ?? 0));
  expect(new Set(gaps).size).toBe(gaps.length);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(60_000);
  ended.abort();
  await done;
});

test('ends at once when it is told to, and leaves no timer behind', async () => {
  const desired = await desiredProfile({});
  const { clock, applied, ended, done } = loop(() => desired);
  await clock.advance(1000);
  ended.abort();
  await done;
  expect(clock.sleeping).toBe(0);
  expect(applied).toEqual([]);
});

test('an apply that breaks off does not end the loop', async () => {
  const desired = await desiredProfile({});
  const { clock, applied, log, ended, done } = loop(
    () => desired,
    async () => {
      throw new Error('broken');
    },
  );
  await clock.advance(180_000);
  expect(applied.length).toBeGreaterThanOrEqual(3);
  expect(log.lines[0]).toMatchObject({ level: 'error', fields: { error: 'broken' } });
  ended.abort();
  await done;
});
