import type { Clock } from '../../ports/clock.ts';

/** How long a hash that was shown can be approved, milliseconds. */
export const APPROVAL_MS = 600_000;
/** More than this many are not remembered: the oldest goes. */
const REMEMBERED = 64;

export interface Approvals {
  /** Shown to a person now. Whole seconds until it is too late to approve it. */
  offer(hash: string): number;
  /** Why it can't be approved; undefined when it can. */
  whyNot(hash: string): string | undefined;
  /** Used: it holds for one time. */
  take(hash: string): void;
}

/** What was shown lately. Kept in memory: after a restart everything has to be looked at again. */
export function createApprovals(clock: Pick<Clock, 'monotonic'>): Approvals {
  const expires = new Map<string, number>();
  return {
    offer(hash) {
      expires.delete(hash);
      expires.set(hash, clock.monotonic() + APPROVAL_MS);
      const oldest = expires.size > REMEMBERED ? expires.keys().next().value : undefined;
      if (oldest !== undefined) expires.delete(oldest);
      return APPROVAL_MS / 1000;
    },
    whyNot(hash) {
      const until = expires.get(hash);
      const minutes = APPROVAL_MS / 60_000;
      if (until === undefined)
        return `this node has shown no such hash since it started, or it was used before: look at what would go once more`;
      return clock.monotonic() < until ? undefined : `the hash was shown more than ${minutes} minutes ago: look at what would go once more`;
    },
    take: (hash) => void expires.delete(hash),
  };
}
