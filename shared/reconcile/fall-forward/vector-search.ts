import { type SearchHit, type SearchQuery, VectorError, type VectorIndex } from '../../ports/vector-index.ts';
import { isHere, type VectorLedger } from './vector-ledger.ts';

const DEFAULT_HITS = 10;
/** Of one search. */
const MOST = 1000;

export interface Sides {
  readonly external: VectorIndex;
  readonly fallback: VectorIndex;
  readonly ledger: VectorLedger;
}

/**
 * The nearest of those that wait here and those that are there; what waits counts as it is here. Rejects with `backend_away`
 * when among the nearest here are so many that do not wait that one that does may be missed.
 */
export async function searchBoth({ external, fallback, ledger }: Sides, place: string, query: SearchQuery): Promise<SearchHit[]> {
  const { limit = DEFAULT_HITS } = query;
  const near = await fallback.search(place, { ...query, limit: MOST });
  const waiting = await ledger.waiting(
    place,
    near.map(({ id }) => id),
  );
  const ours = near.filter(({ id }) => isHere(waiting.get(id)));
  // Only after that, so that nothing goes over from here to there unseen.
  const theirs = await searchThere({ external, ledger }, place, query, limit);
  const there = new Set(theirs.map(({ id }) => id));
  const all = [...theirs, ...ours.filter(({ id }) => !there.has(id))];
  const hits = all.sort((one, other) => one.distance - other.distance).slice(0, limit);
  const last = hits[limit - 1];
  const seen = near.length < MOST ? Number.POSITIVE_INFINITY : (near.at(-1)?.distance ?? 0);
  if (ours.length >= limit || seen >= (last?.distance ?? Number.POSITIVE_INFINITY)) return hits;
  throw new VectorError(
    'backend_away',
    `Vectors of class ${place} go over to ${external.backend.kind} now: search after that, or for fewer`,
  );
}

/** The nearest there but for what waits. */
async function searchThere(
  { external, ledger }: Omit<Sides, 'fallback'>,
  place: string,
  query: SearchQuery,
  limit: number,
): Promise<SearchHit[]> {
  for (let asked = limit; ; asked = Math.min(MOST, asked * 4)) {
    const found = await external.search(place, { ...query, limit: asked });
    const waiting = await ledger.waiting(
      place,
      found.map(({ id }) => id),
    );
    // What was there before the external may be newer in there.
    const theirs = found.filter(({ id }) => waiting.get(id)?.adopted !== undefined || !waiting.has(id));
    if (theirs.length >= limit || found.length < asked || asked >= MOST) return theirs.slice(0, limit);
  }
}
