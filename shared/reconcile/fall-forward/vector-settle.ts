import type { Log } from '../../ports/log.ts';
import type { VectorIndex, VectorObject } from '../../ports/vector-index.ts';

/** How often what is stored and not found is written again: once was not always enough. */
const REWRITES = 3;

/** Of objects that were stored, by id, those that are not as they should be. */
export interface Settled {
  /** The external holds other content: somebody else was there meanwhile. */
  readonly taken: ReadonlySet<string>;
  /** Not stored, whatever was said. */
  readonly absent: ReadonlySet<string>;
  /** Stored, and no search finds them. */
  readonly unfound: ReadonlySet<string>;
}

/**
 * Reads objects back and asks the index which of them searches find. What is missing is written again, a few times. See
 * `capabilities.atomic_upsert` of the port.
 */
export async function settleIndex(
  { external, log }: { readonly external: VectorIndex; readonly log: Log },
  place: string,
  objects: readonly VectorObject[],
  isSame: (one: VectorObject, other: VectorObject) => boolean,
): Promise<Settled> {
  const taken = new Set<string>();
  for (let left = objects, round = 0; ; round += 1) {
    const stored = new Map((await readAll(external, place, left)).map((object) => [object.id, object]));
    const isTaken = (object: VectorObject) => {
      const is = stored.get(object.id);
      return is !== undefined && !isSame(object, is);
    };
    for (const { id } of left.filter(isTaken)) taken.add(id);
    const here = left.filter(({ id }) => stored.has(id) && !taken.has(id));
    const found = new Set(here.length === 0 ? [] : await external.findable(place, here));
    const absent = left.filter(({ id }) => !stored.has(id));
    const unfound = here.filter(({ id }) => !found.has(id));
    left = [...absent, ...unfound];
    if (left.length === 0 || round === REWRITES) return { taken, absent: idsOf(absent), unfound: idsOf(unfound) };
    log.warn('objects are stored and no search finds them, or they are not even stored: they are written again', {
      class: place,
      unfound: unfound.length,
      absent: absent.length,
    });
    await external.upsert(place, left);
  }
}

async function readAll(external: VectorIndex, place: string, objects: readonly VectorObject[]): Promise<VectorObject[]> {
  return objects.length === 0
    ? []
    : external.getMany(
        place,
        objects.map(({ id }) => id),
      );
}

function idsOf(objects: readonly VectorObject[]): ReadonlySet<string> {
  return new Set(objects.map(({ id }) => id));
}
