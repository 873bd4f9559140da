import { expect, test } from 'vitest';
import { Traffic } from '../../runtime-node/adapters/bus-local/traffic.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

test('what went through a queue is known for ten minutes, minute by minute, until it is forgotten', async () => {
  const clock = new SimulatedClock();
  const traffic = new Traffic(clock);
  const quiet = { seconds: 600, came: 0, taken: 0, asked_in_vain: 0 };
  expect(traffic.of('a')).toEqual(quiet);
  traffic.note('a', 'came');
  traffic.note('a', 'taken', 3);
  await clock.advance(5 * 60_000);
  traffic.note('a', 'asked_in_vain');
  expect(traffic.of('a')).toEqual({ ...quiet, came: 1, taken: 3, asked_in_vain: 1 });
  expect(traffic.of('b')).toEqual(quiet);
  await clock.advance(5 * 60_000);
  expect(traffic.of('a')).toEqual({ ...quiet, asked_in_vain: 1 });
  traffic.forget('a');
  expect(traffic.of('a')).toEqual(quiet);
});
