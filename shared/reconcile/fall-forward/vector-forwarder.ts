import type { Entry } from '../../ports/backlog.ts';
import type { Log } from '../../ports/log.ts';
import { type ClassState, VectorError, type VectorErrorKind, type VectorIndex, type VectorObject } from '../../ports/vector-index.ts';
import { foldPropertyName } from '../vector-diff.ts';
import { contentOf, isSame, type PropertyTypes, typesOf } from './vector-content.ts';
import type { Ending, VectorLedger } from './vector-ledger.ts';
import type { ObjectLocks } from './vector-locks.ts';
import { settleIndex } from './vector-settle.ts';

/** Objects of one step: what a crash may repeat. */
const BATCH = 256;
/** Groups that are proved once more when the external was away: what Weaviate acknowledged right before it was killed may be unfound. */
const RECENT = 4;
/** How many ids a message names. */
const NAMED = 5;
/** Errors that an object has, and not the backend. */
const REFUSALS: readonly VectorErrorKind[] = ['bad_dimensions', 'bad_property', 'bad_name', 'incompatible'];

export interface ForwarderDeps {
  readonly external: VectorIndex;
  readonly fallback: VectorIndex;
  readonly ledger: VectorLedger;
  readonly locks: ObjectLocks;
  readonly log: Log;
  /** Told once of things whose place is taken, in words. */
  readonly tellConflict: (message: string) => void;
}

/** What is done about one entry. */
type Step =
  | { readonly kind: 'send' | 'compare'; readonly entry: Entry; readonly object: VectorObject }
  | { readonly kind: 'remove' | 'done' | 'wait'; readonly entry: Entry }
  | { readonly kind: 'conflict'; readonly entry: Entry; readonly detail: string };

interface Group {
  readonly place: string;
  readonly entries: readonly Entry[];
  readonly state: ClassState;
  readonly types: PropertyTypes;
}

/** Brings vectors that wait into the external, in batches, and proves that they are there and are found. */
export class VectorForwarder {
  readonly #deps: ForwarderDeps;
  /** Classes of which it was said that something is missing. */
  readonly #saidMissing = new Set<string>();
  /** What went over last. */
  #recent: { readonly place: string; readonly ids: readonly string[] }[] = [];
  #isDoubtful = false;

  constructor(deps: ForwarderDeps) {
    this.#deps = deps;
  }

  /** The external was away: it may have lost from its index what went over last. */
  doubt(): void {
    this.#isDoubtful = true;
  }

  /**
   * One pass over all that waits. True: nothing waits any more. False: something is missing there yet, as a class. Rejects as
   * the external does; another error than `backend_away` only after it has tried what is left.
   */
  async run(signal: AbortSignal): Promise<boolean> {
    const { ledger } = this.#deps;
    const classes = new Map<string, ClassState | undefined>();
    let failure = this.#isDoubtful ? await this.#proveAgain() : undefined;
    for (let after = 0; !signal.aborted; ) {
      const entries = await ledger.next(BATCH, after);
      const last = entries.at(-1);
      if (last === undefined) break;
      after = last.number;
      for (const [place, group] of Map.groupBy(entries, (entry) => entry.place)) {
        if (signal.aborted) return false;
        // Each has its try, whatever failed before.
        const failed = await this.#try(place, group, classes);
        failure ??= failed;
      }
    }
    if (failure !== undefined) throw failure;
    return !signal.aborted && (await ledger.recount()).waiting === 0;
  }

  /** Resolves with an error that says nothing of what waits. What could not be proved is tried again in the next pass. */
  async #proveAgain(): Promise<unknown> {
    this.#isDoubtful = false;
    try {
      for (const group of this.#recent) await this.#proveGroup(group);
      return undefined;
    } catch (error) {
      this.#isDoubtful = true;
      if (kindOf(error) === 'backend_away') throw error;
      return error;
    }
  }

  async #proveGroup({ place, ids }: { readonly place: string; readonly ids: readonly string[] }): Promise<void> {
    const { external, fallback, locks, log } = this.#deps;
    await locks.hold(place, ids, async () => {
      const [own] = await fallback.readClasses([place]);
      const [state] = await external.readClasses([place]);
      if (own === undefined || state === undefined || state.unusable !== undefined) return;
      const ours = byId(await fallback.getMany(place, ids));
      const isEqual = (one: VectorObject, other: VectorObject) => isSame(one, other, typesOf(own));
      // Whoever deleted or replaced one since then meant it.
      const same = (await external.getMany(place, ids)).filter((their) => {
        const our = ours.get(their.id);
        return our !== undefined && isEqual(our, their);
      });
      await settleIndex({ external, log }, place, same, isEqual);
    });
  }

  /** Resolves with an error that says nothing of the other classes. */
  async #try(place: string, entries: readonly Entry[], classes: Map<string, ClassState | undefined>): Promise<unknown> {
    const { external, locks } = this.#deps;
    try {
      if (!classes.has(place)) classes.set(place, (await external.readClasses([place]))[0]);
      const state = classes.get(place);
      const ids = entries.map(({ key }) => key);
      if (state === undefined) this.#sayMissing(place, 'the class is not there yet');
      else await locks.hold(place, ids, () => this.#forward(place, entries, state));
      return undefined;
    } catch (error) {
      if (kindOf(error) === 'backend_away') throw error;
      // Somebody deleted it just now: it is made again, or not.
      return kindOf(error) === 'no_such_class' ? undefined : error;
    }
  }

  async #forward(place: string, given: readonly Entry[], state: ClassState): Promise<void> {
    const { external, fallback, ledger } = this.#deps;
    const now = await ledger.waiting(
      place,
      given.map(({ key }) => key),
    );
    // Another number: it was replaced meanwhile, and comes later.
    const entries = given.filter(({ key, number }) => now.get(key)?.number === number);
    if (entries.length === 0) return;
    const [own] = await fallback.readClasses([place]);
    const group: Group = { place, entries, state, types: typesOf(own) };
    const steps = await this.#plan(group, own !== undefined);
    if (steps.some(({ kind }) => kind === 'wait')) this.#sayMissing(place, 'a property that the objects have is not there yet');
    else this.#saidMissing.delete(place);
    for (const { kind, entry } of steps) if (kind === 'remove') await external.delete(place, entry.key);
    await this.#finish(group, steps, await this.#send(group, steps));
  }

  async #plan({ place, entries, state, types }: Group, isHere: boolean): Promise<Step[]> {
    const { external, fallback, ledger } = this.#deps;
    const ids = entries.map(({ key }) => key);
    const ours = isHere ? byId(await fallback.getMany(place, ids)) : new Map<string, VectorObject>();
    const theirs = state.unusable === undefined ? byId(await external.getMany(place, ids)) : new Map<string, VectorObject>();
    return Promise.all(
      entries.map(async (entry): Promise<Step> => {
        const [our, their] = [ours.get(entry.key), theirs.get(entry.key)];
        const isTaken = async (object: VectorObject) => !ledger.isReplaced(entry, (await contentOf(object)).hash);
        if (entry.deleted) {
          if (their === undefined) return { kind: 'done', entry };
          return (await isTaken(their)) ? { kind: 'conflict', entry, detail: OTHERS_AFTER_DELETE } : { kind: 'remove', entry };
        }
        if (our === undefined) return { kind: 'conflict', entry, detail: LOST };
        if (their !== undefined && isSame(our, their, types)) return { kind: 'compare', entry, object: our };
        if (their !== undefined && (await isTaken(their))) return { kind: 'conflict', entry, detail: entry.adopted ? OLDER : OTHERS };
        const detail = whyNever(our, state);
        if (detail !== undefined) return { kind: 'conflict', entry, detail };
        return isMissingProperty(our, state) ? { kind: 'wait', entry } : { kind: 'send', entry, object: our };
      }),
    );
  }

  /** By id: what the external refuses to keep, and why. */
  async #send({ place }: Group, steps: readonly Step[]): Promise<ReadonlyMap<string, string>> {
    const refused = new Map<string, string>();
    const send = async (objects: readonly VectorObject[]): Promise<void> => {
      try {
        if (objects.length > 0) await this.#deps.external.upsert(place, objects);
      } catch (error) {
        if (!(error instanceof VectorError) || !REFUSALS.includes(error.kind)) throw error;
        const [only, second] = objects;
        if (only === undefined) return;
        if (second === undefined) {
          refused.set(only.id, error.message);
          return;
        }
        // One of them is at fault, and the others must not wait for it.
        const half = Math.ceil(objects.length / 2);
        await send(objects.slice(0, half));
        await send(objects.slice(half));
      }
    };
    await send(steps.flatMap((step) => (step.kind === 'send' ? [step.object] : [])));
    return refused;
  }

  async #finish({ place, types }: Group, steps: readonly Step[], refused: ReadonlyMap<string, string>): Promise<void> {
    const { external, ledger, log } = this.#deps;
    const there = steps.flatMap((step) =>
      (step.kind === 'send' || step.kind === 'compare') && !refused.has(step.entry.key) ? [step] : [],
    );
    const objects = there.map(({ object }) => object);
    const settled = await settleIndex({ external, log }, place, objects, (one, other) => isSame(one, other, types));
    const endings = steps.flatMap((step): Ending[] => {
      const { entry } = step;
      if (step.kind === 'wait') return [];
      const detail =
        step.kind === 'conflict' ? step.detail : (refused.get(entry.key) ?? (settled.taken.has(entry.key) ? OTHERS : undefined));
      if (detail !== undefined) return [{ entry, state: 'conflict', detail }];
      if (settled.absent.has(entry.key)) return [];
      return [{ entry, state: 'forwarded', ...(settled.unfound.has(entry.key) ? { detail: UNFOUND } : {}) }];
    });
    await ledger.settle(endings);
    const ids = endings.filter(({ state, entry }) => state === 'forwarded' && !entry.deleted).map(({ entry }) => entry.key);
    if (ids.length > 0) this.#recent = [...this.#recent, { place, ids }].slice(-RECENT);
    this.#tell(place, endings);
    if (settled.unfound.size > 0) log.warn(`vectors of class ${place}, ${named([...settled.unfound])}: ${UNFOUND}`);
    if (settled.absent.size === 0) return;
    const absent = named([...settled.absent]);
    throw new VectorError('failed', `${external.backend.kind} said that it stored ${absent} of ${place}, and does not have them`);
  }

  #sayMissing(place: string, what: string): void {
    if (this.#saidMissing.has(place)) return;
    this.#saidMissing.add(place);
    this.#deps.log.info(`vectors of class ${place} wait in the embedded default: ${what}`);
  }

  #tell(place: string, endings: readonly Ending[]): void {
    const conflicts = endings.filter(({ state }) => state === 'conflict');
    for (const [detail, some] of Map.groupBy(conflicts, (ending) => ending.detail)) {
      const ids = named(some.map(({ entry }) => entry.key));
      this.#deps.tellConflict(`vectors of class ${place} could not go over, ${ids}: ${detail}`);
    }
  }
}

const OTHERS = 'the external holds other content under this id, which stays. Ours stays in the embedded default';
const OLDER = 'the external holds other content under this id, which may be newer and stays. Ours stays in the embedded default';
const OTHERS_AFTER_DELETE = 'it was deleted here before it went over, and the external holds other content under this id, which stays';
const LOST = 'the embedded default does not hold it any more, so there is nothing to bring over';
const UNFOUND = 'it is stored in the external, but searches there do not find it';

/** Why the class can't take the object, whatever is added to it. */
function whyNever({ vector }: VectorObject, { dimensions, unusable }: ClassState): string | undefined {
  if (unusable !== undefined) return `the class can't keep vectors for bootplane: ${unusable}`;
  if (dimensions === undefined || dimensions === vector.length) return undefined;
  return `its vector has ${vector.length} dimensions, and the class in the external has ${dimensions}`;
}

/** The next apply adds what the profile names. */
function isMissingProperty({ meta }: VectorObject, { properties }: ClassState): boolean {
  const known = new Set(properties.map(({ name }) => foldPropertyName(name)));
  return Object.keys(meta).some((name) => !known.has(foldPropertyName(name)));
}

function byId(objects: readonly VectorObject[]): ReadonlyMap<string, VectorObject> {
  return new Map(objects.map((object) => [object.id, object]));
}

function kindOf(error: unknown): VectorErrorKind | undefined {
  return error instanceof VectorError ? error.kind : undefined;
}

function named(ids: readonly string[]): string {
  const rest = ids.length - NAMED;
  return [...ids.slice(0, NAMED), ...(rest > 0 ? [`and ${rest} more`] : [])].join(', ');
}
