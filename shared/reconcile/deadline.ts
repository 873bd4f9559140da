import type { Clock } from '../ports/clock.ts';

/** A call to a backend that did not answer in time. It may still take effect; every action can be repeated. */
export class DeadlineError extends Error {
  readonly kind = 'deadline';
  constructor(limit_ms: number) {
    super(`no answer within ${limit_ms / 1000} s: the backend hangs or is overloaded`);
    this.name = 'DeadlineError';
  }
}

/**
 * Settles as `call` does, or rejects with `DeadlineError` after `limit_ms`, so that one hung backend holds up nothing else.
 * The signal aborts then: work of many steps must not go on when nobody waits for it any more.
 */
export async function withDeadline<T>(clock: Clock, limit_ms: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = clock.sleep(limit_ms, over.signal).then((): never => {
    throw new DeadlineError(limit_ms);
  });
  try {
    return await Promise.race([call(over.signal), late]);
  } finally {
    // Ends the sleep; its rejection is nobody's business any more.
    late.catch(() => {});
    over.abort();
  }
}
