import { LightHeaders } from './light-headers.ts';

/**
 * Request and Response without what they carry for a browser. Those of Node start streams and event targets for each
 * body and signal, which would be most of what a simulated request costs, and let go of signals when memory is collected.
 * A body that is whole stays whole however it is handed on; only what was given as a stream is read as one.
 * `light-fetch.test.ts` compares them with the real ones.
 */
type Source = Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Statuses that a response with a body may not have (Fetch standard, null body status). */
const NULL_BODY = [101, 204, 205, 304];
const METHODS = new Set(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST', 'PUT']);
/** Streams that were made from a whole body, while nobody has read them. */
const wholes = new WeakMap<ReadableStream, LightBody>();

const TAKE = Symbol('take');
const SHARE = Symbol('share');
const IS_EMPTY = Symbol('is empty');

class LightBody {
  #source: Source | undefined;
  #stream: ReadableStream<Uint8Array> | undefined;
  #isUsed = false;

  protected give(source: Source | undefined): void {
    this.#source = source;
  }

  get [IS_EMPTY](): boolean {
    return this.#source === undefined;
  }

  get bodyUsed(): boolean {
    return this.#isUsed;
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#source === undefined) return null;
    if (this.#stream === undefined) this.#stream = this.#source instanceof ReadableStream ? this.#source : this.#streamOf(this.#source);
    return this.#stream;
  }

  async text(): Promise<string> {
    return decoder.decode(await this.#read());
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = await this.#read();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.arrayBuffer());
  }

  #streamOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
    const stream = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          this.#isUsed = true;
          controller.enqueue(bytes);
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    wholes.set(stream, this);
    return stream;
  }

  /** The body for another to have; from now on it is used here. */
  [TAKE](): Source | undefined {
    if (this.#isUsed || this.#stream?.locked === true) throw new TypeError('Body is unusable: Body has already been read');
    if (this.#source !== undefined) this.#isUsed = true;
    return this.#source;
  }

  /** The body for a copy, while it can still be read here. */
  [SHARE](): Source | undefined {
    if (this.#isUsed || this.#stream?.locked === true) throw new TypeError('Body is unusable: Body has already been read');
    if (!(this.#source instanceof ReadableStream)) return this.#source;
    const [one, other] = this.#source.tee();
    this.#source = one;
    this.#stream = one;
    return other;
  }

  #read(): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
    const source = this[TAKE]();
    if (source === undefined) return new Uint8Array();
    return source instanceof ReadableStream ? readAll(source) : source;
  }
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** What a caller may give as a body here. */
type Given = string | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array> | null;

function sourceOf(given: Given): Source {
  if (typeof given === 'string') return encoder.encode(given);
  if (given instanceof ReadableStream) {
    const whole = wholes.get(given);
    if (given.locked) throw new TypeError('Response body object should not be disturbed or locked');
    return whole?.[TAKE]() ?? given;
  }
  if (given instanceof ArrayBuffer) return new Uint8Array(given.slice(0));
  if (ArrayBuffer.isView(given)) return new Uint8Array(new Uint8Array(given.buffer, given.byteOffset, given.byteLength));
  throw new TypeError('the simulated fetch has no such body');
}

function nameType(headers: LightHeaders, given: Given): void {
  if (typeof given === 'string' && !headers.has('content-type')) headers.set('content-type', 'text/plain;charset=UTF-8');
}

type LightRequestInit = Omit<RequestInit, 'body' | 'headers'> & { body?: Given; headers?: HeadersInit; duplex?: 'half' };

export class LightRequest extends LightBody {
  readonly url: string;
  readonly method: string;
  readonly headers: LightHeaders;
  readonly signal: AbortSignal;
  readonly redirect: string;

  constructor(input: string | URL | LightRequest, init: LightRequestInit = {}) {
    super();
    const before = input instanceof LightRequest ? input : undefined;
    this.url = before === undefined ? hrefOf(input as string | URL) : before.url;
    this.method = init.method === undefined ? (before?.method ?? 'GET') : nameOf(init.method);
    this.headers = new LightHeaders(init.headers ?? before?.headers);
    this.signal = init.signal ?? before?.signal ?? new AbortController().signal;
    this.redirect = init.redirect ?? before?.redirect ?? 'follow';
    const given = init.body ?? null;
    const hasBody = given !== null || (before !== undefined && !before[IS_EMPTY]);
    if (hasBody && (this.method === 'GET' || this.method === 'HEAD')) throw new TypeError('Request with GET/HEAD method cannot have body.');
    if (given === null) {
      if (before !== undefined) this.give(before[TAKE]());
      return;
    }
    if (given instanceof ReadableStream && init.duplex === undefined)
      throw new TypeError('RequestInit: duplex option is required when sending a body.');
    nameType(this.headers, given);
    this.give(sourceOf(given));
  }

  clone(): LightRequest {
    const { method, headers, signal, redirect } = this;
    const copy = new LightRequest(this.url, {
      method,
      headers: headers as unknown as Headers,
      signal,
      redirect: redirect as RequestRedirect,
    });
    copy.give(this[SHARE]());
    return copy;
  }
}

function hrefOf(input: string | URL): string {
  const url = typeof input === 'string' ? new URL(input) : input;
  if (url.username !== '' || url.password !== '')
    throw new TypeError(`Request cannot be constructed from a URL that includes credentials: ${url}`);
  return url.href;
}

function nameOf(method: string): string {
  const upper = method.toUpperCase();
  return METHODS.has(upper) ? upper : method;
}

type LightResponseInit = Omit<ResponseInit, 'headers'> & { headers?: HeadersInit };

export class LightResponse extends LightBody {
  readonly status: number;
  readonly statusText: string;
  readonly headers: LightHeaders;
  readonly type = 'default';
  readonly url = '';
  readonly redirected = false;

  constructor(given: Given = null, { status = 200, statusText = '', headers }: LightResponseInit = {}) {
    super();
    if (!Number.isInteger(status) || status < 200 || status > 599)
      throw new RangeError('init["status"] must be in the range of 200 to 599, inclusive.');
    this.status = status;
    this.statusText = statusText;
    this.headers = new LightHeaders(headers);
    if (given === null || given === undefined) return;
    if (NULL_BODY.includes(status)) throw new TypeError(`Response constructor: Invalid response status code ${status}`);
    nameType(this.headers, given);
    this.give(sourceOf(given));
  }

  static json(data: unknown, { headers, ...init }: LightResponseInit = {}): LightResponse {
    const typed = new LightHeaders(headers);
    if (!typed.has('content-type')) typed.set('content-type', 'application/json');
    return new LightResponse(JSON.stringify(data), { ...init, headers: typed as unknown as Headers });
  }

  get ok(): boolean {
    return this.status >= 200 && this.status <= 299;
  }

  clone(): LightResponse {
    const { status, statusText, headers } = this;
    const copy = new LightResponse(null, { status, statusText, headers: headers as unknown as Headers });
    copy.give(this[SHARE]());
    return copy;
  }
}
