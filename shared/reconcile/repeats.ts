/** How often in a row the same was found, this time included. */
export interface Repeated {
  readonly what: string;
  readonly times: number;
  /** When it was found first, in words for people. */
  readonly since: string;
}

/** `before`: what was found the last time; undefined when nothing was. */
export function repeatedAfter(before: Repeated | undefined, what: string, now: string): Repeated {
  if (before?.what !== what) return { what, times: 1, since: now };
  return { ...before, times: before.times + 1 };
}

/**
 * The same trouble at each interval is counted. It is told at the 1st, 10th and 100th time and at each 60th, which is once an
 * hour by default: what else happens is not lost among its repetitions, and a leader that is new hears of it.
 */
export function isWorthTelling({ times }: Repeated): boolean {
  return times === 1 || times === 10 || times === 100 || times % 60 === 0;
}

/** The message with how often, where that was more than once. */
export function withCount(message: string | undefined, { times, since }: Repeated): string | undefined {
  return message === undefined || times === 1 ? message : `${message} (${times} times since ${since})`;
}
