/** What places a version in its sequence. `emergency` is absent for a version of the sequence itself. */
export interface PlacedVersion {
  readonly generation: number;
  readonly hash: string;
  /** Hash of the version that it was published on. */
  readonly parent?: string | undefined;
  readonly emergency?: { readonly site: string; readonly base_generation: number; readonly n: number } | undefined;
}

/** The number of an emergency version; 0 for a version of the sequence. */
export function numberOf({ emergency }: Pick<PlacedVersion, 'emergency'>): number {
  return emergency?.n ?? 0;
}

/**
 * True while an emergency version holds: nothing newer than the version that it was published on is known. Where even
 * that one is not known (a database was lost), the emergency version itself tells that it was published.
 */
export function emergencyHolds(
  emergency: Omit<PlacedVersion, 'hash'>,
  head: Pick<PlacedVersion, 'generation' | 'hash'> | undefined,
): boolean {
  if (head === undefined || emergency.generation > head.generation) return true;
  return emergency.generation === head.generation && isBasedOn(emergency, head.hash);
}

/** Seeds are one and the same base: each machine has a file of its own, and nothing was published yet. */
function isBasedOn({ generation, parent }: Pick<PlacedVersion, 'generation' | 'parent'>, hash: string | undefined): boolean {
  return generation === 0 || parent === hash;
}

/** Why a site must not use an emergency version at all, in words that follow its name; undefined when it may, or when it is none. */
export function whyNotOfSite({ generation, emergency }: PlacedVersion, site: string): string | undefined {
  if (emergency === undefined) return undefined;
  if (emergency.site !== site) return `it is an emergency version of the site ${emergency.site}, and this is ${site}`;
  if (emergency.base_generation === generation) return undefined;
  return `it is an emergency version on generation ${emergency.base_generation} that calls itself generation ${generation}`;
}

/**
 * Why a version must not replace the held one, or undefined when it may. A node goes only upwards, whoever leads: first
 * by generation, then by the number of the emergency version. A changed seed (generation 0) replaces a seed. Of two
 * emergency versions with one number, which only a site cut in two makes, the greater hash stands everywhere.
 */
export function whyOlder(held: PlacedVersion | undefined, next: PlacedVersion): string | undefined {
  if (held === undefined || next.generation > held.generation) return undefined;
  if (next.generation < held.generation) return `${nameOf(next)} is older than ${nameOf(held)}, which is held`;
  const [before, after] = [numberOf(held), numberOf(next)];
  if (after < before) return `${nameOf(next)} is older than ${nameOf(held)}, which is held`;
  if (after > 0 && !isBasedOn(next, before > 0 ? held.parent : held.hash)) {
    return `${nameOf(next)} was not published on the generation ${held.generation} that is held`;
  }
  if (after > before || next.hash === held.hash) return undefined;
  if (after > 0) return next.hash > held.hash ? undefined : `${nameOf(next)} gives way to the one that is held`;
  if (next.generation === 0) return undefined;
  return `it has generation ${next.generation} like the one that is held, but another content`;
}

/** True for one and the same version. */
export function isSameVersion(a: PlacedVersion, b: PlacedVersion): boolean {
  return a.generation === b.generation && a.hash === b.hash && numberOf(a) === numberOf(b);
}

/** `generation 5`, or `emergency version 2 on generation 5`. */
export function nameOf(version: Pick<PlacedVersion, 'generation' | 'emergency'>): string {
  const n = numberOf(version);
  return n === 0 ? `generation ${version.generation}` : `emergency version ${n} on generation ${version.generation}`;
}
