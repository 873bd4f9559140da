import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Components } from '../contract/status.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import { runDriftLoop } from '../reconcile/drift-loop.ts';
import type { Desired, EnvironmentReconciler } from '../reconcile/types.ts';
import { messageOf } from './json-file.ts';
import { createWaker } from './waker.ts';

export interface EnvironmentApplierDeps {
  readonly environment: EnvironmentReconciler;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onApplied: (components: Components) => void;
}

export interface EnvironmentApplier {
  /** False when that is wanted already. A node that leads now applies at once what it had left to the leader before it. */
  want(profile: Desired<EnvironmentProfile>, leads: boolean): boolean;
  /** Applies what is wanted when it changes, and again and again against drift, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export function createEnvironmentApplier({ environment, onApplied, ...deps }: EnvironmentApplierDeps): EnvironmentApplier {
  const waker = createWaker(deps.clock);
  let desired: Desired<EnvironmentProfile> | undefined;
  const apply = async (profile: Desired<EnvironmentProfile>) => {
    const components = await environment.apply(profile);
    onApplied(components);
    return components;
  };
  environment.onPresence?.(() => {
    if (desired !== undefined) waker.wake();
  });
  return {
    want(profile, leads) {
      const isTakenOver = leads && Object.values(environment.status()).some(({ status }) => status === 'skipped');
      if (!isTakenOver && desired?.generation === profile.generation && desired.hash === profile.hash) return false;
      desired = profile;
      waker.wake();
      return true;
    },
    async run(signal) {
      const drift = runDriftLoop({ ...deps, reconciler: { apply }, desired: () => desired }, signal);
      for (await waker.wait(signal); desired !== undefined && !signal.aborted; await waker.wait(signal)) {
        await apply(desired).catch((error) => deps.log.error(`an apply was broken off: ${messageOf(error)}`));
      }
      await drift;
    },
  };
}
