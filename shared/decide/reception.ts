import { type Decider, headOf, lineOf, type Merge, merge, parentsIn, type Version, type Versions } from './merge.ts';

/** 0: none. 1: lost to another and waits for a person. 2: lost, and somebody has published since. */
export type Mark = 0 | 1 | 2;

/** Generation and hash of a version; neither alone names one. */
export type Name = Pick<Version, 'generation' | 'hash'>;

export interface KeptVersion extends Version {
  readonly mark: Mark;
}

/** What one store has of a document. Beside its own line it keeps what lost and what that was published on. */
export interface Repository {
  readonly versions: readonly KeptVersion[];
  /** The current one; undefined while nothing is. */
  readonly head: Name | undefined;
}

export interface Offered {
  readonly versions: Versions;
  /** What is current where they come from; undefined: they are only to be kept. */
  readonly current: Version | undefined;
  readonly conflicts: readonly (Name & { readonly resolved: boolean })[];
}

/** What a store does with an offer. */
export interface Reception {
  readonly merge: Merge;
  /** The current version afterwards. */
  readonly head: Version | undefined;
  /** Of the offered versions, those to keep. */
  readonly keeps: readonly Name[];
  /** The marks that differ from what the store has. */
  readonly marks: readonly (Name & { readonly mark: Mark })[];
}

/**
 * Decides what becomes of offered versions: which are kept, which is current, which are conflicts.
 * To do it and to be offered the same again changes nothing. `decider`: see `merge`. `signs`: false where nothing can be published
 * again. Then ours stays as it is, and theirs is a conflict for who can.
 */
export function receive(store: Repository, offered: Offered, decider: Decider, signs = true): Reception {
  const all = union(store.versions, offered.versions);
  const [ours, theirs] = [lineOf(all, store.head), lineOf(all, offered.current)];
  const merged: Merge = offered.current === undefined ? { action: 'keep' } : merge(ours, theirs, decider);
  const decided: Merge = merged.action === 'republish' && !signs ? { action: 'keep', conflict: merged.conflict } : merged;
  const head = headAfter(decided, headOf(ours));
  const after = head === undefined || all.some((one) => isSame(one, head)) ? all : [...all, head];
  const line = new Set(lineOf(after, head).map(keyOf));
  return {
    merge: decided,
    head,
    // A seed counts only as what is current or was published on: every machine has a file of its own.
    keeps: offered.versions.filter((one) => one.generation > 0 || line.has(keyOf(one))),
    marks: marksAfter(store, offered, { decided, head, all: after }),
  };
}

function headAfter(decided: Merge, our: Version | undefined): Version | undefined {
  if (decided.action === 'adopt') return decided.version;
  if (decided.action !== 'republish' || our === undefined) return our;
  return { generation: decided.generation, hash: our.hash, parent: our.hash };
}

interface After {
  readonly decided: Merge;
  readonly head: Version | undefined;
  readonly all: Versions;
}

/** A version is a conflict unless it, or what was published on it, is current, a conflict itself, or says the same as the current one. */
function marksAfter(store: Repository, offered: Offered, { decided, head, all }: After): Reception['marks'] {
  const before = new Map(store.versions.map((one) => [keyOf(one), one.mark] as const));
  const marks = new Map<string, Mark>();
  const raise = (name: Name, mark: Mark) => {
    const key = keyOf(name);
    marks.set(key, higher(marks.get(key) ?? before.get(key) ?? 0, mark));
  };
  for (const one of store.versions) if (one.mark > 0) raise(one, one.mark);
  for (const { resolved, ...name } of offered.conflicts) raise(name, resolved ? 2 : 1);
  if ('conflict' in decided && decided.conflict !== undefined) raise(decided.conflict, 1);
  const known = all.filter((one) => marks.has(keyOf(one)));
  const covered = new Set(lineOf(all, head).map(keyOf));
  const parentOf = parentsIn(all);
  for (const one of known) {
    // What came before something that is covered is covered, too.
    for (let at = parentOf(one); at !== undefined && !covered.has(keyOf(at)); at = parentOf(at)) covered.add(keyOf(at));
  }
  return known.flatMap(({ generation, hash }) => {
    const key = keyOf({ generation, hash });
    const mark = covered.has(key) || hash === head?.hash ? 0 : (marks.get(key) ?? 0);
    return mark === (before.get(key) ?? 0) ? [] : [{ generation, hash, mark }];
  });
}

function higher(a: Mark, b: Mark): Mark {
  return a > b ? a : b;
}

function union(kept: Versions, offered: Versions): Versions {
  const known = new Set(kept.map(keyOf));
  return [...kept, ...offered.filter((one) => !known.has(keyOf(one)))];
}

function isSame(a: Name, b: Name): boolean {
  return a.generation === b.generation && a.hash === b.hash;
}

function keyOf({ generation, hash }: Name): string {
  return `${generation}/${hash}`;
}
