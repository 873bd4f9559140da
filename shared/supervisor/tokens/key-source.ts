import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { KeySet } from './key-set.ts';

/** Where the public keys come from that tokens are signed with. */
export interface KeySource {
  /** The keys that hold now. Rejects with `KeysAwayError` while none could be read yet. */
  current(): KeySet | Promise<KeySet>;
  /** A token names a key that is not among them: looks again, unless that was done a moment ago. Rejects as `current`. */
  again(): Promise<KeySet>;
}

/** No keys could be read yet, so nothing can be said of any token. */
export class KeysAwayError extends Error {
  override readonly name = 'KeysAwayError';
}

export interface KeyCacheOptions {
  /** Where the keys are, in words for a person: `the keys at https://…`. */
  readonly name: string;
  /** Reads the keys. What it rejects with says what is wrong. */
  readonly load: (signal: AbortSignal) => Promise<LoadedKeys>;
  /** After a look, whatever came of it, the next one waits at least so long, milliseconds. */
  readonly pause_ms: number;
  /** The same while there are no keys at all. */
  readonly first_pause_ms: number;
  /** A look that takes longer has failed, milliseconds. */
  readonly limit_ms: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LoadedKeys {
  readonly set: KeySet;
  /** How long they may be used without another look, milliseconds. */
  readonly max_age_ms: number;
}

/**
 * Keeps the last good keys. They serve on while new ones can't be read, since a provider of identities that is away
 * must not shut a fleet out. Who notices that a look is due does it and waits for it; all others go on with what is
 * held, or wait for it too where that lacks their key, each with a limit of its own: Workers may end the request that looks.
 */
export function createKeyCache({ name, load, pause_ms, first_pause_ms, limit_ms, clock, log }: KeyCacheOptions): KeySource {
  let held: (LoadedKeys & { readonly at: number }) | undefined;
  let looked_at: number | undefined;
  let looking: Promise<void> | undefined;
  let trouble: string | undefined;
  let told: readonly string[] = [];

  const lookNow = async () => {
    looked_at = clock.monotonic();
    try {
      const loaded = await within(clock, limit_ms, load);
      held = { ...loaded, at: clock.monotonic() };
      if (trouble !== undefined) log.info(`${name} can be read again`);
      trouble = undefined;
      const { ignored } = loaded.set;
      if (ignored.join() !== told.join() && ignored.length > 0) log.warn(`${name} hold some that are not used: ${ignored.join('; ')}`);
      told = ignored;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const until = held === undefined ? 'no JWT can be checked until they can be read' : 'the last good ones serve on';
      if (why !== trouble) log.warn(`${name} ${why}: ${until}`);
      trouble = why;
    }
  };
  const look = () => {
    const mine = lookNow().finally(() => {
      if (looking === mine) looking = undefined;
    });
    looking = mine;
    return mine;
  };
  const waitForOther = async () => {
    if (looking !== undefined) await within(clock, limit_ms, async () => looking).catch(() => undefined);
  };
  const mayLook = () => looked_at === undefined || clock.monotonic() - looked_at >= (held === undefined ? first_pause_ms : pause_ms);
  /** All wait for the first keys, each with a limit of its own. */
  const begin = async () => {
    if (mayLook()) look();
    await waitForOther();
    if (held === undefined) throw new KeysAwayError(`${name} ${trouble ?? 'are not there yet'}`);
    return held.set;
  };
  const refresh = async (before: KeySet) => {
    await look();
    return held?.set ?? before;
  };
  return {
    current() {
      if (held === undefined) return begin();
      const isDue = clock.monotonic() - held.at >= held.max_age_ms;
      return isDue && mayLook() ? refresh(held.set) : held.set;
    },
    async again() {
      if (held === undefined) return begin();
      if (mayLook()) return refresh(held.set);
      await waitForOther();
      return held.set;
    },
  };
}

/** Rejects when the work is not done in time, whether or not it listens to the signal. */
async function within<T>(clock: Clock, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = clock.sleep(ms, over.signal).then(() => {
    throw new Error(`gave no answer within ${ms} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([work(over.signal), late]);
  } finally {
    over.abort();
  }
}
