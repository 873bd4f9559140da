import { describe, expect, test } from 'vitest';
import { decideRestart, MIN_RESTART_MS, MIN_RETRY_MS } from '../../../shared/reconcile/services/restarts.ts';
import { serviceSpecHash } from '../../../shared/reconcile/services/spec-hash.ts';
import { service } from './harness.ts';

describe('serviceSpecHash', () => {
  const base = service('api');
  test.each([
    ['name', { name: 'other' }],
    ['version', { version: '2' }],
    ['command', { command: ['stay', 'longer'] }],
    ['env', { env: { PORT: '1' } }],
    ['artifact', { artifact: { sha256: 'a'.repeat(64), path: 'a.tar.gz' } }],
    ['user', { user: 'api' }],
  ])('changes with %s', async (_, change) => {
    expect(await serviceSpecHash({ ...base, ...change })).not.toBe(await serviceSpecHash(base));
  });

  test.each([
    ['placement', { placement: { roles: ['leader'] } }],
    ['health', { health: { tcp: 'localhost:1', grace_seconds: 99 } }],
    ['restart', { restart: { max: 1, window_seconds: 1 } }],
    ['stop_grace_seconds', { stop_grace_seconds: 99 }],
  ])('does not change with %s', async (_, change) => {
    expect(await serviceSpecHash(service('api', change))).toBe(await serviceSpecHash(base));
  });

  test('is the SHA-256 of the canonical JSON, so that every version of bootplane agrees on it', async () => {
    expect(await serviceSpecHash(service('a', { env: { B: '2', A: '1' } }))).toBe(
      await serviceSpecHash(service('a', { env: { A: '1', B: '2' } })),
    );
    expect(await serviceSpecHash(base)).toBe(SPEC_OF_API);
  });
});

// printf '%s' '{"command":["stay"],"env":{},"name":"api","version":"1"}' | sha256sum
const SPEC_OF_API = 'b0b7254b1dd836a4e5275cb7ce1e716ee6607cd3baa32b02480389c0460da8b9';

describe('decideRestart', () => {
  const policy = { max: 3, window_seconds: 60 };

  test('waits longer after each restart in the window', () => {
    const delays = [[], [1], [1, 2]].map((restarts) => decideRestart(policy, restarts, 10, 0.999));
    expect(delays.map((one) => one.kind === 'restart' && one.delay_ms)).toEqual([999, 1998, 3996]);
  });

  test('never restarts at once', () => {
    expect(decideRestart(policy, [], 10, 0)).toEqual({ kind: 'restart', delay_ms: MIN_RESTART_MS, restarts: [10] });
  });

  test('gives up at the limit and says when to try again', () => {
    expect(decideRestart(policy, [1, 2, 3], 10, 0.5)).toEqual({ kind: 'give_up', retry_ms: MIN_RETRY_MS });
    expect(decideRestart({ max: 0, window_seconds: 3_600 }, [], 10, 0.5)).toEqual({ kind: 'give_up', retry_ms: 3_600_000 });
  });

  test('forgets restarts that left the window', () => {
    expect(decideRestart(policy, [1, 2, 3], 60_002, 0)).toMatchObject({ kind: 'restart', restarts: [3, 60_002] });
  });
});
