import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import { fromTimestamp } from '../../contract/ids.ts';
import type { ClassState, VectorObject } from '../../ports/vector-index.ts';
import { foldPropertyName } from '../vector-diff.ts';

/** The type of each property by its name as it is kept. */
export type PropertyTypes = ReadonlyMap<string, string>;

export function typesOf(state: ClassState | undefined): PropertyTypes {
  return new Map((state?.properties ?? []).map(({ name, type }) => [foldPropertyName(name), type]));
}

/**
 * An object as every backend keeps it, for the caller may change its own: the components as float32, so that none rounds
 * another way than the next.
 */
export function ownCopy({ id, vector, meta }: VectorObject): VectorObject {
  return { id, vector: vector.map(Math.fround), meta: { ...meta } };
}

/** Whether two backends hold the same: as float32, dates by their instant, UUIDs in either case, an empty list as none at all. */
export function isSame(one: VectorObject, other: VectorObject, types: PropertyTypes): boolean {
  const { length } = one.vector;
  if (length !== other.vector.length) return false;
  for (let index = 0; index < length; index += 1) {
    // A minus before zero does not outlive JSON.
    if (Math.fround(one.vector[index] ?? 0) !== Math.fround(other.vector[index] ?? 0)) return false;
  }
  const typeOf: TypeOf = (name) => types.get(name);
  return metaText(one.meta, typeOf) === metaText(other.meta, typeOf);
}

/**
 * Names content: of what is the same everywhere it is the same. It goes by how a text looks, without the types of a class, so two
 * texts of different content that name one instant, or one UUID, share a name.
 */
export async function contentOf({ id, vector, meta }: VectorObject): Promise<{ key: string; hash: string; size: number }> {
  const head = new TextEncoder().encode(`${metaText(meta, guessType)}\n`);
  const bytes = new Uint8Array(head.length + vector.length * 4);
  bytes.set(head);
  const view = new DataView(bytes.buffer, head.length);
  // Adding zero takes the minus from before it.
  for (const [index, component] of vector.entries()) view.setFloat32(index * 4, component + 0, true);
  return { key: id, hash: await sha256Hex(bytes), size: bytes.length };
}

type TypeOf = (name: string, value: string) => string | undefined;

function metaText(meta: VectorObject['meta'], typeOf: TypeOf): string {
  const entries = Object.entries(meta).flatMap(([given, value]) => {
    const name = foldPropertyName(given);
    if (Array.isArray(value) && value.length === 0) return [];
    return [[name, typeof value === 'string' ? canonical(value, typeOf(name, value)) : value]];
  });
  return canonicalJson(Object.fromEntries(entries));
}

function canonical(value: string, type: string | undefined): string {
  if (type === 'uuid') return value.toLowerCase();
  return type === 'date' ? instantOf(value) : value;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const DATE = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/i;

function guessType(_name: string, value: string): string | undefined {
  if (UUID.test(value)) return 'uuid';
  return DATE.test(value) ? 'date' : undefined;
}

/** The millisecond since the Unix epoch with its decimals: there may be more of them than milliseconds have. */
function instantOf(date: string): string {
  const [, before = '', decimals = '', zone = ''] = DATE.exec(date) ?? [];
  const instant = fromTimestamp(`${before}${zone}`.toUpperCase());
  return Number.isNaN(instant) ? date : `${instant} ${decimals.replace(/0+$/, '')}`;
}
