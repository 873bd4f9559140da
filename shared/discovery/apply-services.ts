import type { PlannedService } from '../contract/plan.ts';
import type { ComponentStatus } from '../contract/status.ts';
import { jittered } from '../decide/jitter.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { Desired, ServiceManager } from '../reconcile/types.ts';
import { messageOf } from './json-file.ts';
import { createWaker } from './waker.ts';

/** How long after a failed apply the same services are tried again. */
const RETRY_INTERVAL_MS = 60_000;

export interface ServicesApplierDeps {
  readonly services: ServiceManager;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onApplied: (status: ComponentStatus) => void;
}

type Wanted = Desired<readonly PlannedService[]>;

export interface ServicesApplier {
  /** False when that is wanted already. */
  want(services: Wanted): boolean;
  /** Adopts what an earlier run left, then applies what is wanted, until `signal` aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** A new wish is handed on at once, also while an earlier one still waits for a service's health. */
export function createServicesApplier({ services, clock, random, log, onApplied }: ServicesApplierDeps): ServicesApplier {
  const waker = createWaker(clock);
  let desired: Wanted | undefined;
  let latest = 0;
  const apply = async (wanted: Wanted, signal: AbortSignal) => {
    latest += 1;
    const number = latest;
    const status = await services.apply(wanted);
    if (signal.aborted || number !== latest) return;
    onApplied(status);
    if (status.status !== 'failed') return;
    await clock.sleep(jittered(RETRY_INTERVAL_MS, random.next()), signal);
    if (number === latest) waker.wake();
  };
  return {
    want(wanted) {
      if (desired !== undefined && isSame(desired, wanted)) return false;
      desired = wanted;
      waker.wake();
      return true;
    },
    async run(signal) {
      await services.adopt().catch((error) => log.error(`what ran before can't be adopted: ${messageOf(error)}`));
      for (await waker.wait(signal); desired !== undefined && !signal.aborted; await waker.wait(signal)) {
        void apply(desired, signal).catch((error) => log.error(`an apply was broken off: ${messageOf(error)}`));
      }
    },
  };
}

function isSame(a: Wanted, b: Wanted): boolean {
  const names = ({ body }: Wanted) => body.map(({ name }) => name).join('\n');
  return a.generation === b.generation && a.hash === b.hash && names(a) === names(b);
}
