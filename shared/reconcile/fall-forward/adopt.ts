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
  const named = Promise.withResolvers<void>();
  let wanted: readonly string[] = [];
  return {
    tried: tried.promise,
    want(places) {
      wanted = places;
      named.resolve();
    },
    async run(signal) {
      await Promise.race([named.promise, aborted(signal)]);
      for (let failures = 0; !signal.aborted && !(await adoptAll(deps, wanted, signal)); ) {
        failures += 1;
        if (failures >= PATIENCE) tried.resolve();
        await deps.clock.sleep(backoffMs(RETRY, failures, deps.random.next()), signal);
      }
      tried.resolve();
    },
  };
}

/** True when all of it is entered, and that is noted. */
async function adoptAll({ log, ...deps }: AdoptDeps, places: readonly string[], signal: AbortSignal): Promise<boolean> {
  const { component } = deps.target;
  try {
    let entered = 0;
    for (const place of places) entered += await adoptPlace(deps, place, signal);
    if (signal.aborted) return false;
    await deps.backlog.complete(deps.target);
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

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
