const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const FORBIDDEN = /[\0\r\n]|[^\0-\xff]/;
const PLAIN = /^[!-~](?:[ -~]*[!-~])?$/;
const EDGES = /^[\t\n\r ]+|[\t\n\r ]+$/g;

/** Header names that were checked before, by how they were given: a few dozen. */
const lowered = new Map<string, string>();
const MOST_NAMES = 1000;

type Init = HeadersInit | LightHeaders | undefined;

/** The headers of a message, as the Fetch standard has them. Cookies, which stand apart there, are unknown to simulated worlds. */
export class LightHeaders {
  readonly #values: Map<string, string>;

  constructor(init?: Init) {
    if (init instanceof LightHeaders) {
      this.#values = new Map(init.#values);
      return;
    }
    this.#values = new Map();
    if (init === undefined || init === null) return;
    const pairs = Symbol.iterator in init ? (init as Iterable<readonly [string, string]>) : Object.entries(init);
    for (const [name, value] of pairs) this.append(name, value);
  }

  get(name: string): string | null {
    return this.#values.get(lower(name)) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(lower(name));
  }

  set(name: string, value: string): void {
    this.#values.set(lower(name), checked(name, value));
  }

  append(name: string, value: string): void {
    const key = lower(name);
    const before = this.#values.get(key);
    this.#values.set(key, before === undefined ? checked(name, value) : `${before}, ${checked(name, value)}`);
  }

  delete(name: string): void {
    this.#values.delete(lower(name));
  }

  forEach(act: (value: string, name: string, headers: LightHeaders) => void): void {
    for (const [name, value] of this) act(value, name, this);
  }

  entries(): IterableIterator<[string, string]> {
    return [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1)).values();
  }

  *keys(): Generator<string> {
    for (const [name] of this) yield name;
  }

  *values(): Generator<string> {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
}

/** Names come from a few places, nearly all in lower case already. */
function lower(name: string): string {
  const known = lowered.get(name);
  if (known !== undefined) return known;
  const key = name.toLowerCase();
  if (key === 'set-cookie') throw new TypeError('the simulated fetch has no cookies');
  if (!TOKEN.test(key)) throw new TypeError(`Headers: "${name}" is an invalid header name.`);
  if (lowered.size < MOST_NAMES) lowered.set(name, key);
  return key;
}

function checked(name: string, value: string): string {
  // Nearly all are plain: nothing to cut off, nothing forbidden.
  if (typeof value === 'string' && PLAIN.test(value)) return value;
  const text = String(value).replace(EDGES, '');
  if (FORBIDDEN.test(text)) throw new TypeError(`Headers: "${text}" is an invalid header value of ${name}.`);
  return text;
}
