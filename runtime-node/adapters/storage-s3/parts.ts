import type { ObjectBody } from '../../../shared/ports/object-storage.ts';

/** Reads a body in parts of exactly `size` bytes and a last one of at most that; at least one, which may be empty. */
export async function* partsOf(body: ObjectBody, size: number): AsyncGenerator<Uint8Array, undefined> {
  if (body instanceof Uint8Array) {
    for (let start = 0; start === 0 || start < body.length; start += size) yield body.subarray(start, start + size);
    return;
  }
  let held: Uint8Array[] = [];
  let length = 0;
  let yielded = false;
  for await (const chunk of body) {
    let rest = chunk;
    while (length + rest.length > size) {
      held.push(rest.subarray(0, size - length));
      rest = rest.subarray(size - length);
      yield join(held);
      yielded = true;
      held = [];
      length = 0;
    }
    held.push(rest);
    length += rest.length;
  }
  if (length > 0 || !yielded) yield join(held);
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  // A copy: who gave the chunk may fill it again while it is being sent.
  return chunks.length === 1 && only !== undefined ? only.slice() : Buffer.concat(chunks);
}
