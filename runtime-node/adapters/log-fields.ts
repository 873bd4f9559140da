import type { LogFields } from '../../shared/ports/log.ts';

const REDACTED = '[redacted]';
const MAX_DEPTH = 6;
const MAX_TEXT = 4096;
const MAX_ITEMS = 100;

const SECRET_WORDS = new Set([
  'apikey',
  'authorization',
  'bearer',
  'cookie',
  'credential',
  'credentials',
  'passphrase',
  'password',
  'secret',
  'secrets',
  'token',
  'tokens',
]);

/** Names that end in `key` and hold none. Every other one is taken for a secret, `key` alone too. */
const HARMLESS_KEYS = new Set(['binding_key', 'idempotency_key', 'object_key', 'public_key', 'routing_key']);

/** True for a field that may hold a secret, by its name: `fleet_key`, `nodeCredential`, `x-api-key`. */
export function isSecretName(name: string): boolean {
  const words = name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/);
  if (words.some((word) => SECRET_WORDS.has(word))) return true;
  return /^keys?$/.test(words.at(-1) ?? '') && !HARMLESS_KEYS.has(words.join('_'));
}

/** Takes out what looks like a credential inside a text: `Bearer …`, the user part of a URL, and a fleet key as bootplane makes them. */
export function redactText(text: string): string {
  const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}… (${text.length} characters)` : text;
  return shown
    .replaceAll(/\b(Bearer|Basic)\s+[^\s"',]+/gi, `$1 ${REDACTED}`)
    .replaceAll(/(\w:\/\/)[^\s/@"']+@/g, `$1${REDACTED}@`)
    .replaceAll(/\bbpk_[\w-]+/g, REDACTED);
}

/**
 * A copy of the fields that can always be written as JSON and holds no secrets. Errors become their kind,
 * message and cause; bytes become their length; cycles and what can't be read become a word that says so.
 */
export function safeFields(fields: LogFields): Record<string, unknown> {
  const safe = safeValue(fields, 0, new Set());
  return typeof safe === 'object' && safe !== null && !Array.isArray(safe) ? { ...safe } : {};
}

function safeValue(value: unknown, depth: number, above: Set<object>): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`;
  if (typeof value !== 'object' || value === null) return value;
  if (above.has(value)) return '[circular]';
  if (depth >= MAX_DEPTH) return '[deeper]';
  above.add(value);
  try {
    return safeObject(value, depth + 1, above);
  } catch {
    return '[unreadable]';
  } finally {
    above.delete(value);
  }
}

function safeObject(value: object, depth: number, above: Set<object>): unknown {
  if (value instanceof Error) return safeError(value, depth, above);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '[invalid date]' : value.toISOString();
  if (value instanceof Map) return safeValue(Object.fromEntries(value), depth, above);
  if (value instanceof Set) return safeValue([...value], depth, above);
  if (Array.isArray(value)) {
    const items = value.slice(0, MAX_ITEMS).map((item) => safeValue(item, depth, above));
    return value.length > MAX_ITEMS ? [...items, `[${value.length - MAX_ITEMS} more]`] : items;
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      isSecretName(name) && item !== undefined ? REDACTED : safeValue(item, depth, above),
    ]),
  );
}

function safeError(error: Error, depth: number, above: Set<object>): unknown {
  const kind = 'kind' in error ? error.kind : 'code' in error ? error.code : undefined;
  return {
    name: error.name,
    ...(kind === undefined ? {} : { kind: safeValue(kind, depth, above) }),
    message: redactText(error.message),
    ...(error.cause === undefined ? {} : { cause: safeValue(error.cause, depth, above) }),
  };
}
