import type { Clock } from '../../ports/clock.ts';
import type { Identity } from './caller.ts';

/**
 * A credential that was good is taken for so long without another look, and so are the keys of a fleet that it is checked
 * with. One after the other that makes a minute: what is revoked or closed elsewhere holds no longer.
 */
export const REMEMBERED_MS = 30_000;
/** Verified credentials that are remembered: a check costs more than the rest of a heartbeat. */
const REMEMBERED = 65_536;

interface Entry {
  readonly identity: Identity;
  /** Of the monotonic clock. */
  readonly until: number;
}

export type CallerMemory = ReturnType<typeof createCallerMemory>;

/**
 * Whose the credentials are that were verified a moment ago. They are looked up in a map, whose time does not depend on
 * how much of a wrong credential is right; a wrong one is never kept.
 */
export function createCallerMemory(clock: Pick<Clock, 'now' | 'monotonic'>) {
  const remembered = new Map<string, Entry>();
  /** Of many calls that come at once with one credential, one has it verified. */
  const pending = new Map<string, Promise<Identity>>();
  let revision = 0;

  const keep = (credential: string, identity: Identity) => {
    const left = Math.min(REMEMBERED_MS, ...endsOf(identity).map((end) => end - clock.now()));
    // Put behind the others again, so that the oldest is the one that was verified first.
    remembered.delete(credential);
    const oldest = remembered.size >= REMEMBERED ? remembered.keys().next().value : undefined;
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(credential, { identity, until: clock.monotonic() + left });
  };

  const verifyOnce = async (credential: string, verify: () => Promise<Identity>) => {
    const begun = revision;
    try {
      const identity = await verify();
      // What was revoked while it was looked up is not remembered.
      if (begun === revision) keep(credential, identity);
      return identity;
    } finally {
      if (begun === revision) pending.delete(credential);
    }
  };

  return {
    /** At once for one that is remembered. */
    recall(credential: string, verify: () => Promise<Identity>): Identity | Promise<Identity> {
      const known = remembered.get(credential);
      if (known !== undefined && clock.monotonic() < known.until) return known.identity;
      const running = pending.get(credential) ?? verifyOnce(credential, verify);
      pending.set(credential, running);
      return running;
    },
    /** Called when a key was revoked or replaced in this process. */
    forget(): void {
      revision += 1;
      remembered.clear();
      pending.clear();
    },
  };
}

/** When what an identity rests on ends, milliseconds since the Unix epoch. */
function endsOf(identity: Identity): number[] {
  if (identity.scope === 'admin') return [];
  const { replaces_until } = identity.keys;
  const issued_until = 'issued' in identity ? identity.issued?.expires_at : undefined;
  const told = 'expires_at' in identity ? identity.expires_at : undefined;
  return [replaces_until, issued_until, told].filter((end) => end !== undefined);
}
