import type { Random } from '../../../shared/ports/random.ts';
import { VectorError } from '../../../shared/ports/vector-index.ts';
import { messageOf, parse, toStatedError } from './faults.ts';
import { type CheckedObject, record, toMark, toWire } from './objects.ts';
import type { Rest } from './rest.ts';
import type { Layout } from './schema.ts';

/** Weaviate answers with all that it was sent, so a batch stays well below what either side would hold in memory. */
const BATCH_BYTES = 4 * 1024 * 1024;
const BATCH_OBJECTS = 1000;
/** While Weaviate works on one batch, the next is made and sent. */
const AT_ONCE = 2;

interface Batch {
  readonly objects: readonly CheckedObject[];
  /** With another mark in it each time. */
  readonly body: () => string;
}

export interface StoreParts {
  readonly rest: Rest;
  readonly random: Random;
  /** Rejects when the class is gone: Weaviate would make one by guess for the next batch. */
  readonly confirm: () => Promise<unknown>;
}

/** Stores the objects, each by its UUID. Rejects with the first error, once no batch is under way any more. */
export async function storeAll({ rest, random, confirm }: StoreParts, layout: Layout, objects: readonly CheckedObject[]): Promise<void> {
  const batches = toBatches(objects, layout, random);
  let failure: unknown;
  let stored = 0;
  const work = async () => {
    for (const batch of batches) {
      if (failure !== undefined) return;
      try {
        if (stored > 0) await confirm();
        await storeBatch(rest, layout, batch);
        stored += batch.objects.length;
      } catch (error) {
        failure ??= error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (failure !== undefined) throw stored === 0 ? failure : withProgress(failure, stored, objects.length);
}

/** One iterator for all workers: each takes the next batch. */
function* toBatches(objects: readonly CheckedObject[], layout: Layout, random: Random): Generator<Batch, void, undefined> {
  let [from, bytes] = [0, 0];
  let parts: (readonly [string, string])[] = [];
  for (const [index, object] of objects.entries()) {
    const part = toWire(object, layout);
    parts.push(part);
    bytes += part[0].length;
    if (bytes < BATCH_BYTES && parts.length < BATCH_OBJECTS && index + 1 < objects.length) continue;
    yield { objects: objects.slice(from, index + 1), body: toBody(parts, random) };
    [from, bytes, parts] = [index + 1, 0, []];
  }
}

function toBody(parts: readonly (readonly [string, string])[], random: Random): () => string {
  return () => {
    const mark = toMark(random);
    return `{"objects":[${parts.map(([before, after]) => `${before}${mark}${after}`).join(',')}]}`;
  };
}

async function storeBatch(rest: Rest, layout: Layout, { objects, body }: Batch): Promise<void> {
  const call = { method: 'POST', path: '/v1/batch/objects', body } as const;
  const { text } = await rest.call(call, [200], `storing in ${layout.name}`);
  // The answer repeats every vector. No quote stands bare within a JSON text, so without this none has failed.
  if (!text.includes('"FAILED"')) return;
  const results = parse(text);
  if (!Array.isArray(results)) throw new VectorError('failed', 'Weaviate answers a batch with something else than a list');
  for (const [index, result] of results.entries()) {
    const { status, errors } = record(record(result).result);
    if (status !== 'FAILED') continue;
    const said = messageOf(errors) ?? 'it gives no reason';
    throw toStatedError(said, `object ${objects[index]?.id} of ${layout.name}`);
  }
}

function withProgress(error: unknown, stored: number, all: number): unknown {
  if (!(error instanceof VectorError)) return error;
  const message = `${error.message} (at least ${stored} of ${all} objects were stored before: the same upsert again stores the rest)`;
  return new VectorError(error.kind, message, { cause: error });
}
