import { expect, it } from 'vitest';
import { ProblemError } from '../../../shared/supervisor/problem.ts';
import { startOnNode } from '../../runtime/node-harness.ts';
import { recordingLog } from '../../support/recording-log.ts';

async function loggedFor(fault: Error): Promise<unknown> {
  const log = recordingLog();
  const { fetch, close } = await startOnNode({ log, health: () => Promise.reject(fault) });
  try {
    expect((await fetch('/healthz')).status).toBeGreaterThanOrEqual(500);
  } finally {
    await close();
  }
  const lines = log.lines.filter(({ level }) => level === 'error');
  expect(lines).toHaveLength(1);
  return lines[0]?.fields.error;
}

it('a failure that was foreseen is logged in one sentence', async () => {
  expect(await loggedFor(new ProblemError('storage_corrupt', 'publish the plan again'))).toBe('publish the plan again');
});

it('one that nobody foresaw is logged with its stack', async () => {
  expect(await loggedFor(new TypeError('x is not a function'))).toMatch(/^TypeError: x is not a function\n {4}at /);
});
