import type * as z from 'zod';
import { ClassName, ClassSpec, PropertyName, PropertySpec } from '../../../shared/contract/profile.ts';
import { VectorError } from '../../../shared/ports/vector-index.ts';

const MAX_ID_LENGTH = 256;
const MAX_LIMIT = 1000;

/** The class's name as it is kept: the first letter is a capital (as Weaviate does). */
export function classNameOf(name: string): string {
  const kept = name.charAt(0).toUpperCase() + name.slice(1);
  check(ClassName, kept, `class name "${name}"`);
  return kept;
}

/** The property's name as it is kept: the first letter is small (as Weaviate does). */
export function foldProperty(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

export function checkClass(spec: ClassSpec): ClassSpec {
  const name = classNameOf(spec.name);
  const properties = checkProperties(name, spec.properties);
  check(ClassSpec, { ...spec, name, properties }, `class ${name}`);
  return { ...spec, name, properties };
}

/** Names folded; one that comes twice with one type is one. */
export function checkProperties(className: string, properties: readonly PropertySpec[]): PropertySpec[] {
  const kept = new Map<string, PropertySpec>();
  for (const property of properties) {
    const folded = { ...property, name: foldProperty(property.name) };
    check(PropertyName, folded.name, `property name "${property.name}" of ${className}`);
    check(PropertySpec, folded, `property ${folded.name} of ${className}`);
    const before = kept.get(folded.name);
    if (before !== undefined && before.type !== folded.type) {
      throw new VectorError(
        'incompatible',
        `The property ${folded.name} of ${className} is named twice, as ${before.type} and as ${folded.type}`,
      );
    }
    kept.set(folded.name, folded);
  }
  return [...kept.values()];
}

export function checkId(id: string): void {
  const fault = faultOfId(id);
  if (fault !== undefined) throw new VectorError('bad_name', `The id ${JSON.stringify(id)} ${fault}`);
}

/** Of a search or a page. */
export function checkLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new VectorError('failed', `limit must be a whole number from 1 to ${MAX_LIMIT}, and is ${limit}`);
}

/** Ids of one call, each once. */
export function checkMany(ids: readonly string[]): string[] {
  if (ids.length > MAX_LIMIT) throw new VectorError('failed', `One call takes ${MAX_LIMIT} ids at most, and these are ${ids.length}`);
  return [...new Set(ids)];
}

function faultOfId(id: string): string | undefined {
  if (id.length < 1 || id.length > MAX_ID_LENGTH) return `must have 1 to ${MAX_ID_LENGTH} characters, and has ${id.length}`;
  return faultOfText(id);
}

/** SQLite keeps text as UTF-8 and its JSON functions end a text at U+0000: two such texts could become one. */
export function faultOfText(text: string): string | undefined {
  if (!text.isWellFormed()) return 'is not valid Unicode (a lone surrogate)';
  return text.includes('\0') ? 'must not hold the character U+0000' : undefined;
}

function check(schema: z.ZodType, value: unknown, subject: string): void {
  const issue = schema.safeParse(value).error?.issues[0];
  if (issue !== undefined) throw new VectorError('bad_name', `The ${subject} cannot be used: ${[...issue.path, issue.message].join(' ')}`);
}
