import { expect, it } from 'vitest';
import { type Claim, holdLease } from '../../../shared/discovery/lease.ts';
import type { DiscoveryDeps } from '../../../shared/discovery/types.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const TTL_MS = 3_000;

/** Holds a lease of epoch 2 whose first renewal is answered only after `late_ms`, as on a disk that is slow. */
function hold(late_ms: number, highest?: () => number) {
  const clock = new SimulatedClock();
  const deps = { clock, log: recordingLog(), random: seededRandom(1) } as unknown as DiscoveryDeps;
  const lease = { epoch: 2, held: { sent_at_ms: clock.monotonic(), expires_in_ms: TTL_MS } };
  const stop = new AbortController();
  const renew = async (): Promise<Claim> => {
    await clock.sleep(late_ms);
    return { granted: { epoch: 2, held: { sent_at_ms: clock.monotonic(), expires_in_ms: TTL_MS } } };
  };
  const ended = holdLease(deps, { lease, renew, ...(highest === undefined ? {} : { highest }) }, stop.signal);
  return { clock, ended, stop };
}

async function afterOneRenewal({ clock, ended, stop }: ReturnType<typeof hold>) {
  await clock.advance(6_000);
  stop.abort();
  await clock.advance(10_000);
  return ended;
}

it('a lease that had lapsed before its renewal came is not taken up again below a leader that is known by then', async () => {
  expect(await afterOneRenewal(hold(4_000, () => 3))).toBe('lapsed');
});

it('it is where nobody above it is known, and where the renewal came in time', async () => {
  expect(await afterOneRenewal(hold(4_000, () => 2))).toBe('ended');
  expect(await afterOneRenewal(hold(4_000))).toBe('ended');
  // This node may be about to lead above that other one itself.
  expect(await afterOneRenewal(hold(100, () => 3))).toBe('ended');
});
