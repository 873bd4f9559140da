import type { ProblemCode } from '../../contract/problem.ts';
import { BusError, type BusErrorKind } from '../../ports/event-bus.ts';
import { StorageError, type StorageErrorKind } from '../../ports/object-storage.ts';
import { VectorError, type VectorErrorKind } from '../../ports/vector-index.ts';
import { ProblemError } from '../problem.ts';

// `not_empty` and `in_use` are of removals, which no route of the data API asks for.
const OF_STORAGE: Record<StorageErrorKind, ProblemCode> = {
  no_such_bucket: 'no_such_bucket',
  no_such_key: 'no_such_key',
  already_exists: 'already_exists',
  not_empty: 'unavailable',
  bad_name: 'invalid_parameter',
  checksum_mismatch: 'checksum_mismatch',
  corrupt: 'storage_corrupt',
  range_not_satisfiable: 'range_not_satisfiable',
  full: 'storage_full',
  backend_away: 'backend_away',
  unauthorized: 'backend_refused',
  failed: 'unavailable',
};

const OF_BUS: Record<BusErrorKind, ProblemCode> = {
  no_such_exchange: 'no_such_exchange',
  no_such_queue: 'no_such_queue',
  incompatible: 'invalid_body',
  not_empty: 'unavailable',
  in_use: 'unavailable',
  unsupported: 'invalid_body',
  unknown_delivery: 'unknown_delivery',
  bad_name: 'invalid_body',
  full: 'storage_full',
  backend_away: 'backend_away',
  unauthorized: 'backend_refused',
  failed: 'unavailable',
};

const OF_VECTOR: Record<VectorErrorKind, ProblemCode> = {
  no_such_class: 'no_such_class',
  incompatible: 'invalid_body',
  not_empty: 'unavailable',
  bad_dimensions: 'invalid_body',
  bad_property: 'invalid_body',
  bad_name: 'invalid_body',
  full: 'storage_full',
  backend_away: 'backend_away',
  unauthorized: 'backend_refused',
  failed: 'unavailable',
};

/** What each of the three ports may answer with beside what its routes say. */
export const BACKEND_PROBLEMS = ['backend_away', 'backend_refused'] as const satisfies readonly ProblemCode[];

/** Runs `work` with the errors of the ports as problems. An upload that its sender broke off is nobody's failure here. */
export async function inWords<T>(work: () => Promise<T>, request: Request): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    const isBrokenOff = code === 'unavailable' && request.signal.aborted;
    const detail = isBrokenOff ? 'the request ended before its end: nothing was changed' : messageOf(error);
    throw Object.assign(new ProblemError(isBrokenOff ? 'bad_request' : code, detail), { cause: error });
  }
}

function codeOf(error: unknown): ProblemCode | undefined {
  if (error instanceof StorageError) return OF_STORAGE[error.kind];
  if (error instanceof BusError) return OF_BUS[error.kind];
  if (error instanceof VectorError) return OF_VECTOR[error.kind];
  return undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
