import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Clock } from '../../../shared/ports/clock.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import type { Random } from '../../../shared/ports/random.ts';
import type { Slots } from '../../../shared/reconcile/slots.ts';
import { codeOf } from '../../thrown.ts';
import { failureOf, header, readDocument } from './answers.ts';
import { NETWORK } from './errors.ts';
import { isFailure, S3Failure } from './failure.ts';
import type { Ask, Signer } from './signer.ts';
import type { Wire } from './wire.ts';
import type { XmlElement } from './xml.ts';

export interface S3Request extends Ask {
  readonly body?: Uint8Array;
  /** Of `body`, lower-case hex, where it is known already. */
  readonly sha256?: string;
  /** May be sent again when nobody knows whether it took effect. One that certainly took none is sent again always. */
  readonly repeat: boolean;
}

export interface RequestParts {
  readonly signer: Signer;
  readonly wire: Wire;
  readonly slots: Slots;
  readonly regions: Regions;
  readonly clock: Clock;
  readonly random: Random;
}

/** What a kind of server does in its own way, and would not say. */
export interface Quirks {
  /** Leaves `a/b` out of lists while there is `a`. */
  readonly hides_nested_keys: boolean;
  /** Takes `/a` for `a`. */
  readonly drops_first_slash: boolean;
}

const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
const EMPTY = new Uint8Array(0);

/** Which region each bucket is signed for: the configured one, or what the store said of it. */
export class Regions {
  readonly configured: string | undefined;
  readonly #known = new Map<string, string>();
  #usual = 'us-east-1';

  constructor(configured: string | undefined) {
    this.configured = configured;
  }

  of(bucket: string): string {
    return this.configured ?? this.#known.get(bucket) ?? this.#usual;
  }

  /** True when the failure names another region than the one that was used, which the next attempt takes. */
  learn(bucket: string, { code, region }: S3Failure): boolean {
    if (this.configured !== undefined || region === undefined || region === this.of(bucket)) return false;
    if (code === 'AuthorizationHeaderMalformed') this.#usual = region;
    this.#known.set(bucket, region);
    return true;
  }
}

/** Sends requests to the store: in bounded number, again where that is safe, to the right region. Rejects with `S3Failure` or what the network threw. */
export class Requests {
  readonly wire: Wire;
  readonly #parts: RequestParts;
  readonly #closing = new AbortController();
  #met: Promise<void> | undefined;
  #server = '';

  constructor(parts: RequestParts) {
    this.wire = parts.wire;
    this.#parts = parts;
  }

  /** The answer, whose body is still to be read: by `wire`, or by `drop`. */
  async send(request: S3Request): Promise<IncomingMessage> {
    await this.#meet(request.bucket);
    if (this.quirks.drops_first_slash && request.key?.startsWith('/'))
      throw new StorageError('bad_name', `this store (${this.#server}) would take the slash off the key ${request.key}: name it without`);
    return this.#attempts(request);
  }

  /** Asks the least there is that every S3 store answers with a document. Where the bucket is would do, but MinIO tells that to any region. */
  async look(bucket: string): Promise<void> {
    const query = { 'list-type': '2', 'max-keys': '1' };
    const answer = await this.#attempts({ method: 'GET', bucket, query, repeat: true });
    this.#server = header(answer.headers, 'server') ?? '';
    await readDocument(this.wire, answer, 'ListBucketResult');
  }

  /** Known after the first answer. MinIO's were found with the server of 2026-02-12. */
  get quirks(): Quirks {
    const minio = this.#server.startsWith('MinIO');
    return { hides_nested_keys: minio, drops_first_slash: minio };
  }

  /** Sends what is answered by nothing but headers. */
  async order(request: S3Request): Promise<IncomingHttpHeaders> {
    const answer = await this.send(request);
    answer.resume();
    return answer.headers;
  }

  /** Sends what is answered by a document with this root. */
  async ask(request: S3Request, ...roots: readonly string[]): Promise<{ text: string; root: XmlElement; headers: IncomingHttpHeaders }> {
    const answer = await this.send(request);
    return { ...(await readDocument(this.wire, answer, ...roots)), headers: answer.headers };
  }

  /** No more attempts; what is under way ends by itself. */
  close(): void {
    this.#closing.abort();
  }

  /** Before anything else, once: is that an S3 store, and does it take the keys? Answers to HEAD and PUT would not tell. */
  async #meet(bucket: string): Promise<void> {
    this.#met ??= this.#greet(bucket).catch((error: unknown) => {
      this.#met = undefined;
      throw error;
    });
    await this.#met;
  }

  async #greet(bucket: string): Promise<void> {
    try {
      await this.look(bucket);
    } catch (error) {
      if (error instanceof S3Failure) this.#server = header(error.headers, 'server') ?? '';
      // The keys were good enough to be told this.
      if (!isFailure(error, 'NoSuchBucket', 'AccessDenied', 'NotImplemented', 'MethodNotAllowed')) throw error;
    }
  }

  async #attempts(request: S3Request): Promise<IncomingMessage> {
    for (let attempt = 1; ; attempt += 1) {
      if (this.#closing.signal.aborted) throw new StorageError('failed', 'the object storage is closed');
      try {
        return await this.#parts.slots.run(() => this.#once(request));
      } catch (error) {
        if (error instanceof S3Failure && attempt < ATTEMPTS && this.#parts.regions.learn(request.bucket, error)) continue;
        if (attempt >= ATTEMPTS || !worthAgain(error, request.repeat)) throw error;
        await this.#parts.clock.sleep(this.#pause(attempt, error), this.#closing.signal);
      }
    }
  }

  async #once(request: S3Request): Promise<IncomingMessage> {
    const { signer, wire } = this.#parts;
    const body = request.body ?? EMPTY;
    const sha256 = request.sha256 ?? createHash('sha256').update(body).digest('hex');
    const answer = await wire.send(request.method, signer.sign(request, sha256), body);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    throw await failureOf(wire, answer);
  }

  #pause(attempt: number, error: unknown): number {
    const asked = error instanceof S3Failure ? Number(header(error.headers, 'retry-after') ?? 0) * 1000 : 0;
    const grown = FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + this.#parts.random.next());
    return Math.min(LONGEST_PAUSE_MS, Math.max(grown, Number.isFinite(asked) ? asked : 0));
  }
}

/** The store or its proxy did nothing but ask for patience. */
const NOTHING_DONE: ReadonlySet<string> = new Set([
  'SlowDown',
  'ServiceUnavailable',
  'OperationAborted',
  'ConditionalRequestConflict',
  'Busy',
]);
const UNREACHED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN']);

function worthAgain(error: unknown, repeat: boolean): boolean {
  if (error instanceof S3Failure) {
    if (error.status === 429 || NOTHING_DONE.has(error.code)) return true;
    return repeat && (error.code === 'RequestTimeout' || [500, 502, 503, 504].includes(error.status));
  }
  const code = codeOf(error);
  // The store had closed a connection that was kept: it never looked at this request.
  const stale = error instanceof Error && 'reused' in error && error.reused === true && (code === 'ECONNRESET' || code === 'EPIPE');
  return UNREACHED.has(code) || stale || (repeat && NETWORK.has(code) && code !== 'ENOTFOUND');
}
