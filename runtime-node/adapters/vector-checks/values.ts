import { PropertyType } from '../../../shared/contract/profile.ts';
import { type PropertyValue, type SearchQuery, VectorError, type VectorObject } from '../../../shared/ports/vector-index.ts';
import { faultOfText, foldProperty } from './names.ts';

/** The type of each property by its name as it is kept. */
export type Types = ReadonlyMap<string, string>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const RFC_3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

const isText = (value: unknown) => typeof value === 'string' && faultOfText(value) === undefined;
const isInt = (value: unknown) => Number.isSafeInteger(value);
const isNumber = (value: unknown) => Number.isFinite(value);
const isBoolean = (value: unknown) => typeof value === 'boolean';
const listOf = (isOne: (value: unknown) => boolean) => (value: unknown) => Array.isArray(value) && value.every(isOne);

/** What each type takes, and how a person would say so. */
const RULES: Readonly<Record<PropertyType, { readonly accepts: (value: unknown) => boolean; readonly wants: string }>> = {
  text: { accepts: isText, wants: 'a text (valid Unicode without U+0000)' },
  int: { accepts: isInt, wants: 'a whole number between -2^53 and 2^53' },
  number: { accepts: isNumber, wants: 'a finite number' },
  boolean: { accepts: isBoolean, wants: 'true or false' },
  date: { accepts: isDate, wants: 'a date and time as RFC 3339 has it, such as 2026-01-31T12:00:00Z' },
  uuid: { accepts: (value) => typeof value === 'string' && UUID.test(value), wants: 'a UUID' },
  'text[]': { accepts: listOf(isText), wants: 'a list of texts' },
  'int[]': { accepts: listOf(isInt), wants: 'a list of whole numbers' },
  'number[]': { accepts: listOf(isNumber), wants: 'a list of finite numbers' },
  'boolean[]': { accepts: listOf(isBoolean), wants: 'a list of true and false' },
};

/** The properties as they are kept: names folded, each value of its property's type. `subject` names the object in errors. */
export function checkMeta(meta: VectorObject['meta'], types: Types, subject: string): Record<string, PropertyValue> {
  // No prototype: `__proto__` is a name like any other.
  const kept: Record<string, PropertyValue> = Object.create(null);
  for (const [given, value] of Object.entries(meta)) {
    const name = foldProperty(given);
    if (Object.hasOwn(kept, name)) throw new VectorError('bad_property', `The property ${name} of ${subject} is given twice`);
    checkValue(name, value, types, subject);
    kept[name] = value;
  }
  return kept;
}

export interface Wanted {
  /** Folded. */
  readonly name: string;
  readonly type: PropertyType;
  readonly value: string | number | boolean;
}

/** The conditions of `where`. Lists cannot be compared. */
export function checkWhere(where: SearchQuery['where'], types: Types): Wanted[] {
  return Object.entries(where ?? {}).map(([given, value]) => {
    const name = foldProperty(given);
    const type = checkValue(name, value, types, 'the filter');
    if (type.endsWith('[]')) throw new VectorError('bad_property', `The property ${name} is a list (${type}) and cannot be filtered by`);
    return { name, type, value };
  });
}

/** Milliseconds since the Unix epoch; null for what is no text. */
export function instant(value: unknown): number | null {
  return typeof value === 'string' ? Date.parse(value.toUpperCase()) : null;
}

/** The property's type. */
function checkValue(name: string, value: unknown, types: Types, subject: string): PropertyType {
  const type = types.get(name);
  if (type === undefined) throw new VectorError('bad_property', `The class has no property ${name}, which ${subject} names: add it first`);
  const known = PropertyType.safeParse(type).data;
  if (known === undefined) {
    throw new VectorError(
      'bad_property',
      `The property ${name} of ${subject} has the type ${type}, which this version cannot write or compare`,
    );
  }
  if (RULES[known].accepts(value)) return known;
  throw new VectorError(
    'bad_property',
    `The property ${name} of ${subject} must be ${RULES[known].wants}, and is ${JSON.stringify(value)}`,
  );
}

/** Refuses days that the calendar does not have: `Date.parse` alone takes 31 February for 3 March. */
function isDate(value: unknown): boolean {
  if (typeof value !== 'string' || !RFC_3339.test(value)) return false;
  const [year = 0, month = 0, day = 0] = value.slice(0, 10).split('-').map(Number);
  const days = new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
  return month >= 1 && month <= 12 && day >= 1 && day <= days && !Number.isNaN(instant(value));
}
