import { aborted, linkedAbort } from '../abort.ts';
import type { Clock } from '../ports/clock.ts';

/** A wait that can be cut short. A wake that comes while nobody waits ends the next wait at once. */
export interface Waker {
  wake(): void;
  /** Resolves after `ms`, on `wake` or when `signal` aborts; with no `ms` it waits for one of the latter two. */
  wait(signal: AbortSignal, ms?: number): Promise<void>;
}

export function createWaker(clock: Clock): Waker {
  let isPending = false;
  let cut: (() => void) | undefined;
  return {
    wake() {
      isPending = true;
      cut?.();
    },
    async wait(signal, ms) {
      if (!isPending && !signal.aborted) {
        const wait = linkedAbort(signal);
        cut = wait.abort;
        await (ms === undefined ? aborted(wait.signal) : clock.sleep(ms, wait.signal));
        cut = undefined;
        wait.dispose();
      }
      isPending = false;
    },
  };
}
