import { VectorError } from '../../../shared/ports/vector-index.ts';

/** Squares of components have to fit into a float32 while sqlite-vec sums them up. */
const LEAST_LENGTH = 1e-15;
const MOST_LENGTH = 1e15;

/**
 * The vector as it is stored: float32, little-endian, so that each component is off by at most one
 * part in 2^24. Refuses what has no direction: cosine distance is not defined for it.
 */
export function encodeVector(vector: readonly number[], subject: string, dimensions?: number): Uint8Array {
  if (vector.length === 0) throw new VectorError('bad_dimensions', `The vector of ${subject} is empty`);
  if (dimensions !== undefined && vector.length !== dimensions) {
    throw new VectorError('bad_dimensions', `The vector of ${subject} has ${vector.length} dimensions and the class has ${dimensions}`);
  }
  const bytes = new Uint8Array(vector.length * 4);
  const view = new DataView(bytes.buffer);
  let squares = 0;
  for (const [index, component] of vector.entries()) {
    if (!Number.isFinite(component)) {
      throw new VectorError('bad_dimensions', `The vector of ${subject} has no finite number at position ${index}`);
    }
    view.setFloat32(index * 4, component, true);
    squares += component * component;
  }
  const length = Math.sqrt(squares);
  if (vector.every((component) => component === 0))
    throw new VectorError('bad_dimensions', `The vector of ${subject} is all zeros: it has no direction, so no cosine distance`);
  if (length >= LEAST_LENGTH && length <= MOST_LENGTH) return bytes;
  throw new VectorError(
    'bad_dimensions',
    `The vector of ${subject} has the length ${length}: scale it to between ${LEAST_LENGTH} and ${MOST_LENGTH}`,
  );
}

export function decodeVector(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / 4 }, (_, index) => view.getFloat32(index * 4, true));
}
