import { toTimestamp } from '../contract/ids.ts';
import { isJwt, type JwtTimes, readJwtTimes } from '../contract/jwt.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { WatchedText } from '../ports/watched-text.ts';
import { messageOf } from './json-file.ts';

/** The JWT that is this node's credential, from wherever the platform puts it. */
export interface OwnToken {
  /** The newest one. Rejects while none could be read yet. */
  current(): Promise<string>;
  /** What is wrong with it now, in words for a person; undefined when nothing is. */
  trouble(): string | undefined;
  /** Looks for a renewed one from time to time, also when nobody asks for it, until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** At most so often it is asked whether the text has changed, milliseconds. */
const LOOK_MS = 1000;
const WATCH_MS = 10_000;

interface Held {
  readonly token: string;
  readonly version: string;
  readonly times: JwtTimes | undefined;
  /** When it was first seen, milliseconds since the Unix epoch. */
  readonly at: number;
}

/**
 * A renewed token is used from the next call on. One that has expired is used on: whether it is good the other side
 * decides, by its own clock. From a third of its life before the end on, the log says once that it is due.
 */
export function createOwnToken(text: WatchedText, { clock, log }: { readonly clock: Clock; readonly log: Log }): OwnToken {
  let held: Held | undefined;
  let looked_at: number | undefined;
  let unreadable: string | undefined;
  let warned: string | undefined;
  let looking: Promise<void> | undefined;

  const look = async () => {
    if (looked_at !== undefined && clock.monotonic() - looked_at < LOOK_MS) {
      // Only who has none yet waits for the look that is under way.
      if (held === undefined) await looking;
      return;
    }
    looked_at = clock.monotonic();
    looking = read();
    await looking;
  };
  const read = async () => {
    try {
      const version = await text.version();
      if (version === held?.version && unreadable === undefined) return;
      const token = (await text.read()).trim();
      if (!isJwt(token)) throw new Error('holds no JWT');
      unreadable = undefined;
      if (token === held?.token) return;
      held = { token, version, times: readJwtTimes(token), at: clock.now() };
      log.info(`the credential of this node is the JWT in ${text.name}${endOf(held)}`);
    } catch (error) {
      unreadable = `${text.name} ${messageOf(error)}`;
    }
  };
  const tell = () => {
    const due = held === undefined ? undefined : dueOf(held, clock.now());
    const what =
      unreadable === undefined
        ? due
        : `${unreadable}${held === undefined ? '' : `: the one that was read before is used on${endOf(held)}`}`;
    if (what !== undefined && what !== warned) log.warn(what.startsWith('the') ? what : `the credential of this node: ${what}`);
    warned = what;
  };
  return {
    async current() {
      await look();
      tell();
      if (held === undefined) throw new Error(`this node has no credential: ${unreadable ?? `${text.name} was not read yet`}`);
      return held.token;
    },
    trouble() {
      if (held === undefined) return unreadable === undefined ? undefined : `a credential: ${unreadable}`;
      const { times } = held;
      if (times === undefined || times.exp * 1000 > clock.now()) return undefined;
      const why = unreadable === undefined ? '' : ` (${unreadable})`;
      return `a renewed credential: the JWT in ${text.name} expired at ${timeOf(times.exp)}${why}; what runs goes on`;
    },
    async run(signal) {
      while (!signal.aborted) {
        await look();
        tell();
        await clock.sleep(WATCH_MS, signal);
      }
    },
  };
}

function endOf({ times }: Held): string {
  return times === undefined ? ', which does not say when it ends' : `, good until ${timeOf(times.exp)}`;
}

/** In words that it is time to renew it, from a third of its life before the end on. */
function dueOf({ times, at }: Held, now: number): string | undefined {
  if (times === undefined) return undefined;
  const end = times.exp * 1000;
  const life = end - (times.iat ?? times.nbf ?? at / 1000) * 1000;
  if (now < end - life / 3) return undefined;
  const when = timeOf(times.exp);
  return now < end
    ? `the credential of this node ends at ${when} and is not renewed yet`
    : `the credential of this node expired at ${when}`;
}

/** ECMAScript, section 21.4.1.1. */
const LATEST_S = 8.64e12;

function timeOf(seconds: number): string {
  return Math.abs(seconds) <= LATEST_S ? toTimestamp(seconds * 1000) : 'no time that there is';
}
