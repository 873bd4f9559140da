import type { BacklogStatus } from '../../contract/backlog.ts';
import type { ClassSpec, PropertySpec } from '../../contract/profile.ts';
import {
  type ClassState,
  type SearchHit,
  type SearchQuery,
  type VectorBackend,
  type VectorCapabilities,
  VectorError,
  type VectorIndex,
  type VectorObject,
} from '../../ports/vector-index.ts';
import { foldClassName } from '../vector-diff.ts';
import type { ConflictDesk } from './conflict-desk.ts';
import { otherExternals } from './other-externals.ts';
import { createPresence, type Presence } from './presence.ts';
import type { FallForward, ForwardDeps } from './types.ts';
import { endDeleted, endWritten, type VectorConflictParts, vectorConflicts } from './vector-conflicts.ts';
import { ownCopy } from './vector-content.ts';
import { VectorForwarder } from './vector-forwarder.ts';
import { isHere, VectorLedger, type Waiting } from './vector-ledger.ts';
import { ObjectLocks } from './vector-locks.ts';
import { searchBoth } from './vector-search.ts';

/** Of one call of the port. */
const MANY = 1000;
const NO_ONE: Waiting = new Map();

/**
 * A vector index in an external, beside which an embedded one takes what is upserted while the external is away.
 *
 * - `upsert` falls over within the same call. Objects that wait already are joined by what replaces them, also when the
 *   external answers again. Of an upsert of which a part waits, the other part goes to the external: when that refuses it,
 *   the first part is as before; a crash in between may leave a part.
 * - `get` and `getMany` read what waits from the embedded default and all else from the external, so with that away they
 *   reject with `backend_away` and never say that something is not there.
 * - `delete` of what waits is noted and acknowledged: it never goes over, and what of it reached the external is removed.
 *   All else is deleted in the external alone.
 * - `search` while something of the class goes over finds what is here and what is there. It is `backend_away` with the
 *   external away, and where too many that do not wait lie nearer. `count` and `list` are `backend_away` as long as
 *   something of the class waits: what is on both sides could only be told by reading all of it.
 * - Classes are read and made in the external alone; `fallback` is brought to the profile by each node for itself. A class with
 *   something waiting for it counts as not empty.
 *
 * An object goes over when the external has none of its id, or one that came from here. Other content stays there, and ours
 * stays here as a conflict that is told once. From then on the id is read and written in the external. After a crash
 * in the middle at most a batch is compared again; what an object was before its last change is not remembered over a crash,
 * so where that had reached the external without an answer, a conflict is told.
 */
export function createForwardIndex(deps: ForwardDeps<VectorIndex>): FallForward<VectorIndex> {
  const ledger = new VectorLedger(deps.backlog, deps.external.backend.identity);
  const index = new ForwardIndex(deps, ledger);
  return {
    port: index,
    external: deps.external,
    fallback: deps.fallback,
    status: () => index.status(),
    conflicts: index.conflicts,
    others: otherExternals(deps.backlog, { component: 'vector', identity: deps.external.backend.identity }, async () => {
      await ledger.recount();
      index.presence.wake();
    }),
    wake: () => index.presence.wake(),
    async run(signal) {
      await ledger.recount().catch((error: unknown) => deps.log.error('the backlog of vectors can not be read', { error }));
      await index.presence.run(signal);
    },
  };
}

class ForwardIndex implements VectorIndex {
  readonly backend: VectorBackend;
  readonly capabilities: VectorCapabilities;
  readonly presence: Presence;
  readonly conflicts: ConflictDesk;
  readonly #parts: VectorConflictParts;
  readonly #deps: ForwardDeps<VectorIndex>;
  readonly #ledger: VectorLedger;
  readonly #locks = new ObjectLocks();
  readonly #name: string;

  constructor(deps: ForwardDeps<VectorIndex>, ledger: VectorLedger) {
    const { external, fallback, clock, random, log, tell } = deps;
    this.#deps = deps;
    this.#ledger = ledger;
    this.backend = external.backend;
    this.capabilities = external.capabilities;
    this.#name = `vector (${external.backend.kind} at ${external.backend.identity})`;
    const tellConflict = (about: string) => {
      const message = `${this.#name}: ${about}`;
      log.warn(message);
      tell?.({ kind: 'conflict', message });
    };
    const forwarder = new VectorForwarder({ external, fallback, ledger, locks: this.#locks, log, tellConflict });
    this.presence = createPresence({
      ...{ clock, random, log, isAway, name: this.#name },
      probe: async () => {
        await external.readClasses(['BootplaneProbe']);
      },
      forward: (signal) => forwarder.run(signal),
      changed: () => {
        if (this.presence.state === 'away') forwarder.doubt();
        tell?.({ kind: 'moved', message: `${this.#name}: ${this.presence.state}` });
      },
    });
    const read = <T>(work: (external: VectorIndex) => Promise<T>) => this.#read(work);
    this.#parts = { external, fallback, ledger, locks: this.#locks, log, name: this.#name, read };
    this.conflicts = vectorConflicts(this.#parts);
  }

  status(): BacklogStatus {
    const { state: presence, reason } = this.presence;
    return { presence, ...(reason === undefined ? {} : { reason }), ...this.#ledger.counts };
  }

  readClasses(names: readonly string[]): Promise<ClassState[]> {
    return this.#outside((external) => external.readClasses(names));
  }

  ensureClass(spec: ClassSpec, options?: { made_by?: string }): Promise<void> {
    return this.#outside((external) => external.ensureClass(spec, options));
  }

  ensureProperties(className: string, properties: readonly PropertySpec[]): Promise<void> {
    return this.#outside((external) => external.ensureProperties(className, properties));
  }

  async removeClass(className: string, options: { if_empty?: boolean } = {}): Promise<void> {
    if (options.if_empty && (await this.#ledger.hasWaiting(foldClassName(className)))) {
      throw new VectorError('not_empty', `Vectors of class ${className} wait in the embedded default to be brought there`);
    }
    await this.#outside((external) => external.removeClass(className, options));
  }

  async upsert(className: string, objects: readonly VectorObject[]): Promise<void> {
    const place = foldClassName(className);
    const own = objects.map(ownCopy);
    await this.presence.asked();
    await this.#locks.hold(place, idsOf(own), () => this.#store(place, own));
  }

  async get(className: string, id: string): Promise<VectorObject | undefined> {
    if (this.presence.state === 'present') return this.#outside((external) => external.get(className, id));
    return (await this.getMany(className, [id]))[0];
  }

  async getMany(className: string, ids: readonly string[]): Promise<VectorObject[]> {
    if (this.presence.state === 'present') return this.#outside((external) => external.getMany(className, ids));
    await this.presence.asked();
    const place = foldClassName(className);
    const waiting = await this.#ledger.waiting(place, ids);
    const isAnswering = this.#isAnswering();
    const rest = ids.filter((id) => !waits(waiting, id, isAnswering));
    const theirs = rest.length === 0 && ids.length > 0 ? [] : await this.#read((external) => external.getMany(place, rest));
    const seen = new Set(idsOf(theirs));
    const here = [...new Set(ids)].filter((id) => !seen.has(id) && isHere(waiting.get(id)));
    const ours = await this.#readHere(place, here);
    const missing = here.filter((id) => !ours.some((object) => object.id === id));
    return [...theirs, ...ours, ...(missing.length === 0 ? [] : await this.#lookAgain(place, missing, waiting))];
  }

  async delete(className: string, id: string): Promise<void> {
    const place = foldClassName(className);
    await this.presence.asked();
    await this.#locks.hold(place, [id], async () => {
      const entry = this.presence.state === 'present' ? undefined : (await this.#ledger.waiting(place, [id])).get(id);
      if (entry === undefined || (entry.adopted && this.#isAnswering())) {
        await this.#read((external) => external.delete(place, id));
        if (entry === undefined) await endDeleted(this.#parts, place, id);
        else await this.#ledger.settle([{ entry, state: 'forwarded', detail: 'deleted in the external' }]);
        return;
      }
      try {
        if (!entry.deleted) await this.#ledger.addDeletion(entry);
      } finally {
        this.presence.grown();
      }
      // What is noted is what counts. Nobody reads it there any more.
      await this.#deps.fallback.delete(place, id).catch(() => undefined);
    });
  }

  async search(className: string, query: SearchQuery): Promise<SearchHit[]> {
    await this.presence.asked();
    const place = foldClassName(className);
    const isMixed = this.presence.state !== 'present' && (await this.#ledger.hasWaiting(place));
    const { fallback } = this.#deps;
    return this.#read((external) =>
      isMixed ? searchBoth({ external, fallback, ledger: this.#ledger }, place, query) : external.search(className, query),
    );
  }

  /** Of the external. */
  findable(className: string, objects: readonly VectorObject[]): Promise<string[]> {
    return this.#read((external) => external.findable(className, objects));
  }

  async count(className: string): Promise<number> {
    await this.#refuseMixed(className, 'counted');
    return this.#read((external) => external.count(className));
  }

  async list(className: string, options?: { after?: string; limit?: number }): Promise<VectorObject[]> {
    await this.#refuseMixed(className, 'listed');
    return this.#read((external) => external.list(className, options));
  }

  /** Both. */
  async close(): Promise<void> {
    await Promise.all([this.#deps.external.close(), this.#deps.fallback.close()]);
  }

  async #store(place: string, objects: readonly VectorObject[]): Promise<void> {
    if (this.presence.state === 'present') return this.#storeOutside(place, objects, NO_ONE);
    const waiting = await this.#ledger.waiting(place, idsOf(objects));
    if (!this.#isAnswering()) return this.#join(place, objects, waiting);
    const isJoining = ({ id }: VectorObject) => waits(waiting, id, true);
    const joining = objects.filter(isJoining);
    if (joining.length === 0) return this.#storeOutside(place, objects, waiting);
    const others = objects.filter((object) => !isJoining(object));
    if (others.length === 0) return this.#join(place, objects, waiting);
    return this.#storeBoth(place, { objects, joining, others }, waiting);
  }

  async #storeOutside(place: string, objects: readonly VectorObject[], waiting: Waiting): Promise<void> {
    try {
      await this.#outside((external) => external.upsert(place, objects));
    } catch (error) {
      if (!isAway(error)) throw error;
      return this.#join(place, objects, waiting);
    }
    await this.#settleOlder(idsOf(objects), waiting);
    await endWritten(this.#parts, place, objects);
  }

  async #join(place: string, objects: readonly VectorObject[], waiting: Waiting): Promise<void> {
    await this.#storeHere(place, objects);
    await this.#note(place, objects, waiting);
  }

  /** All of them are stored here first: so each was looked at before one is stored there. */
  async #storeBoth(
    place: string,
    { objects, joining, others }: Readonly<Record<'objects' | 'joining' | 'others', readonly VectorObject[]>>,
    waiting: Waiting,
  ): Promise<void> {
    const before = await this.#readHere(place, idsOf(joining));
    await this.#storeHere(place, objects);
    try {
      await this.#outside((external) => external.upsert(place, others));
    } catch (error) {
      if (isAway(error)) return this.#note(place, objects, waiting);
      await this.#deps.fallback.upsert(place, before);
      throw error;
    }
    await this.#settleOlder(idsOf(others), waiting);
    await endWritten(this.#parts, place, others);
    await this.#note(place, joining, waiting);
  }

  async #storeHere(place: string, objects: readonly VectorObject[]): Promise<void> {
    try {
      await this.#deps.fallback.upsert(place, objects);
    } catch (error) {
      if (!(error instanceof VectorError) || error.kind !== 'no_such_class') throw error;
      // It may well be there: nobody can tell now.
      throw this.#awayError(`the embedded default has no class ${place} to keep them in`);
    }
  }

  async #note(place: string, objects: readonly VectorObject[], before: Waiting): Promise<void> {
    if (objects.length === 0) return;
    try {
      await this.#ledger.add(place, objects, before);
    } finally {
      // Also where that failed: it may be noted all the same, and while nothing waits nobody looks for it.
      this.presence.grown();
    }
  }

  /** What was there before the external was, and is now written there anew. */
  async #settleOlder(ids: readonly string[], waiting: Waiting): Promise<void> {
    const older = ids.flatMap((id) => waiting.get(id) ?? []).filter(({ adopted }) => adopted);
    await this.#ledger.settle(older.map((entry) => ({ entry, state: 'forwarded', detail: 'written anew in the external' })));
  }

  async #readHere(place: string, ids: readonly string[]): Promise<VectorObject[]> {
    const found: VectorObject[] = [];
    for (let from = 0; from < ids.length; from += MANY) {
      found.push(...(await this.#deps.fallback.getMany(place, ids.slice(from, from + MANY))));
    }
    return found;
  }

  /** They were not there when they were read: they went meanwhile, or they are lost. */
  async #lookAgain(place: string, ids: readonly string[], before: Waiting): Promise<VectorObject[]> {
    const now = await this.#ledger.waiting(place, ids);
    const lost = ids.find((id) => now.get(id)?.number === before.get(id)?.number);
    if (lost === undefined) return this.getMany(place, ids);
    throw new VectorError('failed', `Object ${lost} of ${place} was kept in the embedded default for ${this.#name}, which lost it`);
  }

  #isAnswering(): boolean {
    return this.presence.state !== 'away';
  }

  async #refuseMixed(className: string, verb: string): Promise<void> {
    await this.presence.asked();
    if (this.presence.state === 'present' || !(await this.#ledger.hasWaiting(foldClassName(className)))) return;
    if (!this.#isAnswering()) throw this.#awayError();
    throw new VectorError('backend_away', `${this.#name}: vectors of class ${className} go over to it now: they can be ${verb} after that`);
  }

  /** A read of what only the external can know. */
  async #read<T>(work: (external: VectorIndex) => Promise<T>): Promise<T> {
    await this.presence.asked();
    if (!this.#isAnswering()) throw this.#awayError();
    return this.#outside(work);
  }

  #outside<T>(work: (external: VectorIndex) => Promise<T>): Promise<T> {
    return this.presence.call(() => work(this.#deps.external));
  }

  #awayError(more = 'only what was upserted since is read from the embedded default'): VectorError {
    return new VectorError('backend_away', `${this.#name} is away (${this.presence.reason ?? 'it does not answer'}): ${more}`);
  }
}

/** Whether it is the embedded default that has the word. What was there before the external gives way to that. */
function waits(waiting: Waiting, id: string, isAnswering: boolean): boolean {
  const entry = waiting.get(id);
  return entry !== undefined && !(entry.adopted && isAnswering);
}

function isAway(error: unknown): boolean {
  return error instanceof VectorError && error.kind === 'backend_away';
}

function idsOf(objects: readonly VectorObject[]): string[] {
  return objects.map(({ id }) => id);
}
