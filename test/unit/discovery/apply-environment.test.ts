import { describe, expect, it } from 'vitest';
import type { ComponentStatus } from '../../../shared/contract/status.ts';
import { createEnvironmentApplier } from '../../../shared/discovery/apply-environment.ts';
import { drain } from '../../support/drain.ts';
import { desiredProfile } from '../../support/memory-environment.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const STATUS: Omit<ComponentStatus, 'status'> = {
  action: 'reconcile',
  generation: 1,
  hash: 'a'.repeat(64),
  attempt: 1,
  duration_ms: 0,
  incompatible: [],
  at: '2026-01-01T00:00:00Z',
};

/** An environment whose storage the leader reconciles, until `leads`. */
function sharedEnvironment() {
  const clock = new SimulatedClock();
  const state = { leads: false, applies: 0 };
  const components = () => ({ storage: { ...STATUS, status: state.leads ? ('applied' as const) : ('skipped' as const) } });
  const environment = {
    apply: async () => {
      state.applies += 1;
      return components();
    },
    diff: async () => [],
    status: () => (state.applies === 0 ? {} : components()),
  };
  const applier = createEnvironmentApplier({ environment, clock, random: seededRandom(), log: recordingLog(), onApplied: () => undefined });
  const stop = new AbortController();
  const running = applier.run(stop.signal);
  const end = async () => {
    stop.abort();
    await running;
  };
  return { applier, state, end };
}

describe('a node that takes the lead', () => {
  it('applies at once what it had left to the leader before it, and only that once', async () => {
    const { applier, state, end } = sharedEnvironment();
    const profile = await desiredProfile({});
    expect(applier.want(profile, false)).toBe(true);
    await drain();
    expect(applier.want(profile, false)).toBe(false);
    expect(state.applies).toBe(1);
    state.leads = false;
    expect(applier.want(profile, true)).toBe(true);
    state.leads = true;
    await drain();
    expect(state.applies).toBe(2);
    expect(applier.want(profile, true)).toBe(false);
    await end();
  });
});
