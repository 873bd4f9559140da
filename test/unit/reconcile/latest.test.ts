import { expect, test } from 'vitest';
import { latestOnly } from '../../../shared/reconcile/latest.ts';

function controlled() {
  const runs: { input: number; end: (error?: Error) => void }[] = [];
  const run = (input: number) =>
    new Promise<string>((resolve, reject) => {
      runs.push({ input, end: (error) => (error === undefined ? resolve(`ran ${input}`) : reject(error)) });
    });
  return { runs, call: latestOnly(run) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('runs one at a time, and of those that wait only the newest', async () => {
  const { runs, call } = controlled();
  const [first, second, third] = [call(1), call(2), call(3)];
  await turn();
  expect(runs.map(({ input }) => input)).toEqual([1]);
  runs[0]?.end();
  expect(await first).toBe('ran 1');
  await turn();
  expect(runs.map(({ input }) => input)).toEqual([1, 3]);
  const fourth = call(4);
  runs[1]?.end();
  expect(await Promise.all([second, third])).toEqual(['ran 3', 'ran 3']);
  await turn();
  runs[2]?.end();
  expect(await fourth).toBe('ran 4');
});

test('a failed run fails its own callers and lets the next start', async () => {
  const { runs, call } = controlled();
  const [first, second] = [call(1), call(2)];
  runs[0]?.end(new Error('broken'));
  await expect(first).rejects.toThrow('broken');
  await turn();
  runs[1]?.end();
  expect(await second).toBe('ran 2');
  const third = call(3);
  runs[2]?.end();
  expect(await third).toBe('ran 3');
});
