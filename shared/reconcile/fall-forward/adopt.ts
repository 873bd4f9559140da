import { backoffMs } from '../../decide/backoff.ts';
import type { Backlog, NewEntry, Target } from '../../ports/backlog.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { Random } from '../../ports/random.ts';
import { errorKind } from '../wording.ts';

/** Something that the embedded default holds, as the backlog names it. */
export type Held = Pick<NewEntry, 'key' | 'hash' | 'size'>;

export interface AdoptDeps {
  readonly target: Target;
  readonly backlog: Pick<Backlog, 'add' | 'isComplete' | 'complete'>;
  /** The next page of what a place of the embedded default holds, by key. Empty: there is no more. Rejects as its port does. */
  page(place: string, after: string | undefined): Promise<readonly Held[]>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Adoption {
  /** The places that go over, by the profile of now. */
  want(places: readonly string[]): void;
  /** Resolves when all that the wanted places hold is entered, or when that failed often: then it is tried on. */
  readonly tried: Promise<void>;
  /** Enters what was there before the external was, until that is done or `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Enters what places hold that are named for the first time, until `signal` aborts. Never rejects. */
  follow(signal: AbortSignal): Promise<void>;
}

const RETRY = { base_ms: 500, cap_ms: 60_000 };
/** After so many failures nobody waits for it any more. */
const PATIENCE = 3;

/**
 * What an embedded default held before an external was configured goes over like what was written while that was away.
 * A crash in the middle costs nothing: what is entered stays entered, and entering it again changes nothing.
 */
export function createAdoption(deps: AdoptDeps): Adoption {
  const tried = Promise.withResolvers<void>();
  let named = Promise.withResolvers<void>();
  let wanted: readonly string[] = [];
  const untilEntered = async (select: (places: readonly string[]) => Promise<readonly string[]>, signal: AbortSignal) => {
    await orAborted(named.promise, signal);
    named = Promise.withResolvers();
    for (let failures = 0; !signal.aborted && !(await adoptAll(deps, () => select(wanted), signal)); ) {
      failures += 1;
      if (failures >= PATIENCE) tried.resolve();
      await deps.clock.sleep(backoffMs(RETRY, failures, deps.random.next()), signal);
    }
    tried.resolve();
  };
  return {
    tried: tried.promise,
    want(places) {
      wanted = places;
      named.resolve();
    },
    run: (signal) => untilEntered(async (places) => places, signal),
    async follow(signal) {
      while (!signal.aborted) await untilEntered((places) => newOf(deps, places), signal);
    },
  };
}

async function newOf({ backlog, target }: AdoptDeps, places: readonly string[]): Promise<string[]> {
  const news: string[] = [];
  for (const place of places) if (!(await backlog.isComplete(target, place))) news.push(place);
  return news;
}

/** True when all of it is entered, and that is noted. */
async function adoptAll({ log, ...deps }: AdoptDeps, select: () => Promise<readonly string[]>, signal: AbortSignal): Promise<boolean> {
  const { component } = deps.target;
  try {
    let entered = 0;
    for (const place of await select()) {
      entered += await adoptPlace(deps, place, signal);
      if (signal.aborted) return false;
      await deps.backlog.complete(deps.target, place);
    }
    // Each write is a wait for the disk, and this is asked with every reconcile.
    if (!(await deps.backlog.isComplete(deps.target))) await deps.backlog.complete(deps.target);
    if (entered > 0)
      log.info(`${component}: ${entered} that the embedded default held before go over too`, { target: deps.target.identity });
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.warn(`${component}: what the embedded default held before could not be looked through yet: ${why}`);
    return false;
  }
}

async function adoptPlace({ target, backlog, page }: Omit<AdoptDeps, 'log'>, place: string, signal: AbortSignal): Promise<number> {
  let entered = 0;
  for (let after: string | undefined; !signal.aborted; ) {
    const held = await page(place, after).catch(absent);
    const last = held.at(-1);
    if (last === undefined) break;
    const entries = held.map(({ key, hash, size }) => ({ ...target, place, key, hash, size }));
    await backlog.add(entries, { if_unknown: true });
    entered += held.length;
    after = last.key;
  }
  return entered;
}

/** A place that the embedded default does not have holds nothing. */
function absent(error: unknown): readonly Held[] {
  if (['no_such_bucket', 'no_such_class'].includes(errorKind(error) ?? '')) return [];
  throw error;
}

/** Resolves with `news`, or when the signal aborts. That lives as long as the node: nothing stays on it. */
function orAborted(news: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      signal.removeEventListener('abort', end);
      resolve();
    };
    signal.addEventListener('abort', end, { once: true });
    void news.then(end);
  });
}
