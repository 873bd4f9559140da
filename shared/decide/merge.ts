/** What identifies one published version. The hash alone does not: a rollback publishes an old body again. */
export interface Version {
  readonly generation: number;
  readonly hash: string;
  /** Hash of the version that it replaced. */
  readonly parent?: string | undefined;
}

/** The versions of one document that one side holds, in any order; may lack the oldest. */
export type Versions = readonly Version[];
export type Side = 'ours' | 'theirs';
/**
 * Whose version stands where the two diverged. `cloud`: as `ours`, at a leader whose fleet has a cloud; only that publishes, so
 * what can't be told to have diverged has not.
 */
export type Decider = Side | 'cloud';
export type Relation =
  | { readonly relation: 'same' | 'diverged' }
  /** `unknown`: the history of the one with the higher generation, `newer`, does not go back far enough to tell. */
  | { readonly relation: 'descends' | 'unknown'; readonly newer: Side };

/**
 * How two histories of one document stand to each other. A side descends when the other's current
 * version is among its ancestors. A seed (generation 0) is the ancestor of anything published, and
 * so is nothing at all.
 */
export function relate(ours: Versions, theirs: Versions): Relation {
  const [our, their] = [headOf(ours), headOf(theirs)];
  if (our === undefined && their === undefined) return { relation: 'same' };
  if (our === undefined) return { relation: 'descends', newer: 'theirs' };
  if (their === undefined) return { relation: 'descends', newer: 'ours' };
  if (isSame(our, their)) return { relation: 'same' };
  const newer = their.generation > our.generation ? 'theirs' : 'ours';
  const relation = newer === 'theirs' ? descent(theirs, their, our) : descent(ours, our, their);
  return relation === 'diverged' ? { relation } : { relation, newer };
}

export type Merge =
  /** Ours stays the current one. */
  | { readonly action: 'keep'; readonly conflict?: Version }
  /** Theirs becomes the current one. */
  | { readonly action: 'adopt'; readonly version: Version; readonly conflict?: Version }
  /** Ours is published once more under `generation`, above theirs, and theirs is kept as a conflict. */
  | { readonly action: 'republish'; readonly generation: number; readonly conflict: Version }
  /** Theirs stands, but is not above ours yet, and nodes go only upwards: nothing changes until it is published again. */
  | { readonly action: 'wait' };

/**
 * What this side does with the history of the other. Doing it and asking again gives `keep` (or `wait`), so a repeat is
 * harmless. What can't be told counts as diverged; but where only a cloud publishes there is one line, and the higher
 * generation is the later on it.
 */
export function merge(ours: Versions, theirs: Versions, decider: Decider): Merge {
  const result = relate(ours, theirs);
  const [our, their] = [headOf(ours), headOf(theirs)];
  if (result.relation === 'same' || their === undefined) return { action: 'keep' };
  if (our === undefined) return { action: 'adopt', version: their };
  if (result.relation === 'descends' || (result.relation === 'unknown' && decider === 'cloud'))
    return result.newer === 'theirs' ? { action: 'adopt', version: their } : { action: 'keep' };
  // Both sides came to the same content: nothing was lost, and the higher generation is fine for both.
  if (our.hash === their.hash) return their.generation > our.generation ? { action: 'adopt', version: their } : { action: 'keep' };
  return decider === 'theirs' ? giveWay(our, their) : standFast(our, their);
}

function standFast(our: Version, their: Version): Merge {
  if (their.generation === 0) return { action: 'keep' };
  if (our.generation > their.generation) return { action: 'keep', conflict: their };
  return { action: 'republish', generation: their.generation + 1, conflict: their };
}

function giveWay(our: Version, their: Version): Merge {
  // Two seeds: the decider's is taken, and ours is no conflict, since its file is still there.
  if (our.generation === 0) return { action: 'adopt', version: their };
  return their.generation > our.generation ? { action: 'adopt', version: their, conflict: our } : { action: 'wait' };
}

/** The current version: the one with the highest generation. */
export function headOf(versions: Versions): Version | undefined {
  return versions.reduce<Version | undefined>(
    (head, one) => (head === undefined || one.generation > head.generation ? one : head),
    undefined,
  );
}

/** The version that `head` names and what it was published on, newest first, as far as `versions` go. */
export function lineOf(versions: Versions, head: Pick<Version, 'generation' | 'hash'> | undefined): Version[] {
  const line: Version[] = [];
  const parentOf = parentsIn(versions);
  let at = head && versions.find(({ generation, hash }) => generation === head.generation && hash === head.hash);
  for (; at !== undefined; at = parentOf(at)) line.push(at);
  return line;
}

/**
 * Finds what a version was published on. Publishing replaces what is current, so of several versions with the
 * parent's hash it was the last before. Made once for many questions: a history may have thousands of versions.
 */
export function parentsIn(versions: Versions): (version: Version) => Version | undefined {
  const newestFirst = [...versions].sort((a, b) => b.generation - a.generation);
  const byHash = Map.groupBy(newestFirst, ({ hash }) => hash);
  return ({ generation, parent }) => (parent === undefined ? undefined : byHash.get(parent)?.find((one) => one.generation < generation));
}

function isSame(a: Version, b: Version): boolean {
  return a.generation === b.generation && a.hash === b.hash;
}

/** Walks from `head` back through the parents until `ancestor` is met, can't be any more, or the history ends. */
function descent(versions: Versions, head: Version, ancestor: Version): 'descends' | 'diverged' | 'unknown' {
  if (ancestor.generation === 0 && head.generation > 0) return 'descends';
  const parentOf = parentsIn(versions);
  let at = head;
  while (at.generation > ancestor.generation) {
    const before = parentOf(at);
    if (before === undefined) return endedAt(at, ancestor);
    if (isSame(before, ancestor)) return 'descends';
    at = before;
  }
  return 'diverged';
}

/** What was published on nothing began a line of its own. */
function endedAt({ generation, parent }: Version, ancestor: Version): 'descends' | 'diverged' | 'unknown' {
  if (parent === undefined) return 'diverged';
  if (generation > ancestor.generation + 1) return 'unknown';
  return parent === ancestor.hash ? 'descends' : 'diverged';
}
