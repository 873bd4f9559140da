import type { Backlog, BacklogCounts, Ended, Entry, Target } from '../../ports/backlog.ts';
import { VectorError, type VectorObject } from '../../ports/vector-index.ts';
import { contentOf } from './vector-content.ts';

/** Of one class, by id. */
export type Waiting = ReadonlyMap<string, Entry>;

/** How an entry ended. */
export interface Ending extends Omit<Ended, 'number'> {
  readonly entry: Entry;
}

/** The backlog as the vector index keeps it: by class and id. What it rejects with is a `VectorError`. */
export class VectorLedger {
  readonly #backlog: Backlog;
  readonly #target: Target;
  /** Hashes of what waited for an object before what waits now. It may have reached the external all the same. */
  readonly #replaced = new Map<string, Set<string>>();
  #counts: BacklogCounts = { waiting: 0, forwarded: 0, conflicts: 0 };

  constructor(backlog: Backlog, identity: string) {
    this.#backlog = backlog;
    this.#target = { component: 'vector', identity };
  }

  /** As they were last seen. */
  get counts(): BacklogCounts {
    return this.#counts;
  }

  async recount(): Promise<BacklogCounts> {
    this.#counts = await this.#try((backlog) => backlog.counts(this.#target));
    return this.#counts;
  }

  async waiting(place: string, ids: readonly string[]): Promise<Waiting> {
    const things = ids.map((key) => ({ place, key }));
    const entries = await this.#try((backlog) => backlog.waiting(this.#target, things));
    return new Map(entries.map((entry) => [entry.key, entry]));
  }

  async hasWaiting(place: string): Promise<boolean> {
    return (await this.#try((backlog) => backlog.list(this.#target, place, { limit: 1 }))).length > 0;
  }

  conflicts(limit: number, after: number): Promise<Entry[]> {
    return this.#try((backlog) => backlog.conflicts(this.#target, limit, after));
  }

  /** Of these, those that are a conflict. */
  async conflicting(place: string, ids: readonly string[]): Promise<Entry[]> {
    const things = ids.map((key) => ({ place, key }));
    return this.#try((backlog) => backlog.conflicting(this.#target, things));
  }

  next(limit: number, after: number): Promise<Entry[]> {
    return this.#try((backlog) => backlog.next(this.#target, limit, after));
  }

  /** These wait from now on. `before` is what waited for them until now. */
  async add(place: string, objects: readonly VectorObject[], before: Waiting): Promise<void> {
    const all = await Promise.all(objects.map(async (object) => ({ ...this.#target, place, ...(await contentOf(object)) })));
    const last = new Map(all.map((entry) => [entry.key, entry]));
    for (const key of last.keys()) this.#remember(before.get(key));
    // One that is named twice in one call may have reached the external as it was named first.
    for (const entry of all) if (last.get(entry.key) !== entry) this.#remember(entry);
    await this.#try((backlog) => backlog.add([...last.values()]));
    await this.#countAnew();
  }

  /** What waited is deleted, and the external must not have it either. */
  async addDeletion(before: Entry): Promise<void> {
    const { place, key, hash } = before;
    this.#remember(before);
    await this.#try((backlog) => backlog.add([{ ...this.#target, place, key, hash, size: 0, deleted: true }]));
    await this.#countAnew();
  }

  /** Whether content of this hash in the external came from here, and was replaced here since. */
  isReplaced({ place, key, hash: own }: Entry, hash: string): boolean {
    return hash === own || this.#replaced.get(nameOf(place, key))?.has(hash) === true;
  }

  async settle(endings: readonly Ending[]): Promise<void> {
    if (endings.length === 0) return;
    const ended = endings.map(({ entry: { number }, ...ending }): Ended => ({ number, ...ending }));
    await this.#try((backlog) => backlog.settle(this.#target, ended));
    for (const { entry } of endings) this.#replaced.delete(nameOf(entry.place, entry.key));
    await this.#countAnew();
  }

  /** What is noted is noted, also where it can't be counted just now: each pass over what waits counts again. */
  async #countAnew(): Promise<void> {
    await this.recount().catch(() => undefined);
  }

  #remember(before: Pick<Entry, 'place' | 'key' | 'hash'> | undefined): void {
    if (before === undefined) return;
    const name = nameOf(before.place, before.key);
    this.#replaced.set(name, (this.#replaced.get(name) ?? new Set()).add(before.hash));
  }

  async #try<T>(work: (backlog: Backlog) => Promise<T>): Promise<T> {
    try {
      return await work(this.#backlog);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new VectorError('failed', `What waits for the vector index can't be read or noted: ${message}`, { cause: error });
    }
  }
}

/** Whether something waits that was not deleted since. */
export function isHere(entry: Entry | undefined): boolean {
  return entry !== undefined && entry.deleted !== true;
}

function nameOf(place: string, key: string): string {
  return `${place}\0${key}`;
}
