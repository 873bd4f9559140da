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

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** A signal that aborts with `parent` or by itself. `dispose` frees the parent, which may live for months. */
export function linkedAbort(parent: AbortSignal): { signal: AbortSignal; abort: () => void; dispose: () => void } {
  const controller = new AbortController();
  const abort = () => controller.abort();
  if (parent.aborted) abort();
  parent.addEventListener('abort', abort, { once: true });
  return { signal: controller.signal, abort, dispose: () => parent.removeEventListener('abort', abort) };
}
