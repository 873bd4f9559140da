import type { EnvironmentComponentName } from '../../contract/backlog.ts';
import type { BacklogConflict, ConflictDecision, ConflictRefusal, ConflictRefusalCode } from '../../contract/backlog-conflict.ts';
import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import type { Entry } from '../../ports/backlog.ts';
import { inParallel } from './in-parallel.ts';

/** Where a person sees what did not go over, and ends it. Rejects only where the list itself can't be read or noted. */
export interface ConflictDesk {
  /** Oldest first, behind the one that `after` names. */
  list(limit: number, after?: string): Promise<BacklogConflict[]>;
  find(id: string): Promise<BacklogConflict | undefined>;
  resolve(decision: ConflictDecision): Promise<Decided>;
}

/** What was done, in words; or why nothing was. */
export type Decided = { readonly message: string } | { readonly refused: ConflictRefusal };

export function refuse(code: ConflictRefusalCode, detail: string): Decided {
  return { refused: { code, detail } };
}

/** An entry as it is shown: with the content of both sides. */
export type Shown = Pick<BacklogConflict, 'kind' | 'ours' | 'theirs' | 'tag'> & Partial<Pick<BacklogConflict, 'place' | 'key'>>;

/** What a component knows of its entries. */
export interface EntryParts {
  readonly component: EnvironmentComponentName;
  conflicts(limit: number, after: number): Promise<readonly Entry[]>;
  show(entry: Entry): Promise<Shown>;
  /** It waits no more, and ours stays where it is. */
  giveUp(entry: Entry): Promise<Decided>;
  /** Puts ours in the place of what `tag` names. Only errors of the backend that say nothing of this entry may come out. */
  takeOver(entry: Entry, tag: string): Promise<Decided>;
}

/** Sides read at a time. */
const AT_A_TIME = 8;

/** The conflicts that the backlog has as entries. */
export function createEntryDesk(parts: EntryParts): ConflictDesk {
  const { component } = parts;
  const read = async (id: string): Promise<Entry | undefined> => {
    const number = numberOf(id);
    if (number === undefined) return undefined;
    const [entry] = await parts.conflicts(1, number - 1);
    return entry?.number === number ? entry : undefined;
  };
  const view = async (entry: Entry): Promise<BacklogConflict> => {
    const { number, place, key, at, detail = 'it was not said why' } = entry;
    return { id: `${component}-${number}`, component, place, key, reason: detail, since: at, ...(await parts.show(entry)) };
  };
  return {
    async list(limit, after) {
      const entries = await parts.conflicts(limit, after === undefined ? 0 : (numberOf(after) ?? Number.MAX_SAFE_INTEGER));
      const views = new Map<number, BacklogConflict>();
      const failures = await inParallel(AT_A_TIME, entries, async (entry) => void views.set(entry.number, await view(entry)));
      if (failures.length > 0) throw failures[0];
      return entries.flatMap(({ number }) => views.get(number) ?? []);
    },
    async find(id) {
      const entry = await read(id);
      return entry && view(entry);
    },
    async resolve(decision) {
      const entry = await read(decision.id);
      if (entry === undefined) return refuse('no_such_conflict', `there is no conflict ${decision.id} on this node any more`);
      return decision.keep === 'external' ? parts.giveUp(entry) : parts.takeOver(entry, decision.tag);
    },
  };
}

/** How it is noted. */
export const GIVEN_UP = 'given up by a person: the external keeps what it holds';
export const TAKEN_OVER = 'a person let it take the place of what the external held';
export const WRITTEN_ANEW = 'written or deleted anew in the external';

/** Names what was shown of both sides. */
export function tagOf(ours: unknown, theirs: unknown): Promise<string> {
  return sha256Hex(canonicalJson({ ours, theirs }));
}

export const CHANGED = 'what is there is not what was shown: look at it again';

/** Of an id that an entry has. */
function numberOf(id: string): number | undefined {
  const digits = /-(\d{1,15})$/.exec(id)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
