import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { WatchedText } from '../../ports/watched-text.ts';
import { type KeySet, readKeySet } from './key-set.ts';
import { createKeyCache, type KeySource } from './key-source.ts';

export interface TextJwksOptions {
  readonly text: WatchedText;
  readonly clock: Clock;
  readonly log: Log;
}

/** At most so often it is asked whether the text has changed, milliseconds. */
const LOOK_MS = 1000;
const LIMIT_MS = 3000;

/** The keys in a text, read again when it has changed. While it can't be read or is damaged the last good ones serve on. */
export function createTextJwks({ text, clock, log }: TextJwksOptions): KeySource {
  let known: { readonly version: string; readonly set: KeySet } | undefined;
  const load = async () => {
    // Before the text: what is replaced in between is read again the next time.
    const version = await text.version();
    if (known?.version !== version) known = { version, set: await readKeySet(await text.read()) };
    return { set: known.set, max_age_ms: LOOK_MS };
  };
  const times = { pause_ms: LOOK_MS, first_pause_ms: LOOK_MS, limit_ms: LIMIT_MS };
  return createKeyCache({ name: `the keys in ${text.name}`, load, ...times, clock, log });
}

/** A text that never changes. */
export function fixedText(name: string, text: string): WatchedText {
  return { name, version: async () => '', read: async () => text };
}
