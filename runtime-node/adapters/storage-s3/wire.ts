import { type ClientRequest, Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import tls from 'node:tls';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Endpoint } from './endpoint.ts';
import { NoAnswer } from './failure.ts';
import type { Signed } from './signer.ts';

export interface WireOptions {
  readonly endpoint: Endpoint;
  /** PEM, believed beside the certificates that the system believes. */
  readonly ca: string | undefined;
  readonly clock: Clock;
  /** How long an answer, or the next part of one, may take. A body adds a second for each `SLOWEST_UPLOAD` bytes. */
  readonly timeout_ms: number;
}

/** Bytes a second: a slower way to the store counts as none. */
const SLOWEST_UPLOAD = 128 * 1024;

/** An error document or a page of a list has less. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

/** One HTTP exchange at a time per connection; connections are kept for the next. No retries, no meaning. */
export class Wire {
  readonly #options: WireOptions;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(options: WireOptions) {
    this.#options = options;
    const common = { keepAlive: true, maxFreeSockets: 16, scheduling: 'lifo' } as const;
    const { ca } = options;
    // A list of one's own takes the place of the system's, so both are given.
    const trust = ca === undefined ? {} : { ca: [...trustedBySystem(), ca] };
    this.#agent = options.endpoint.tls ? new HttpsAgent({ ...common, ...trust }) : new HttpAgent(common);
  }

  /** Resolves when the head of the answer is there. */
  async send(method: string, { host, port, path, headers }: Signed, body: Uint8Array): Promise<IncomingMessage> {
    const { clock, endpoint, timeout_ms } = this.#options;
    const start = endpoint.tls ? requestHttps : requestHttp;
    const length = method === 'GET' || method === 'HEAD' ? {} : { 'content-length': String(body.length) };
    const request = start({ host, port, path, method, headers: { ...headers, ...length }, agent: this.#agent });
    const answered = new AbortController();
    const limit = timeout_ms + Math.ceil(body.length / SLOWEST_UPLOAD) * 1000;
    clock.sleep(limit, answered.signal).then(() => {
      if (!answered.signal.aborted) request.destroy(new NoAnswer(`no answer within ${limit / 1000} s`));
    });
    try {
      return await headOf(request, body);
    } finally {
      answered.abort();
    }
  }

  /** The next bytes of an answer; undefined at its end. */
  async next(answer: IncomingMessage, chunks: AsyncIterator<Buffer>): Promise<Buffer | undefined> {
    const { clock, timeout_ms } = this.#options;
    const arrived = new AbortController();
    clock.sleep(timeout_ms, arrived.signal).then(() => {
      if (!arrived.signal.aborted) answer.destroy(new NoAnswer(`nothing came for ${timeout_ms / 1000} s in the middle of an answer`));
    });
    try {
      const { done, value } = await chunks.next();
      return done ? undefined : value;
    } finally {
      arrived.abort();
    }
  }

  /** The whole of an answer that is a document. */
  async text(answer: IncomingMessage): Promise<string> {
    const chunks = answer[Symbol.asyncIterator]();
    const parts: Buffer[] = [];
    for (let size = 0; ; ) {
      const part = await this.next(answer, chunks);
      if (part === undefined) return Buffer.concat(parts).toString('utf8');
      size += part.length;
      if (size > MAX_DOCUMENT_BYTES) {
        answer.destroy();
        throw new NoAnswer(`the answer has more than ${MAX_DOCUMENT_BYTES} bytes, which no S3 document has`);
      }
      parts.push(part);
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Node 20 does not tell more than the list that it brings. */
function trustedBySystem(): readonly string[] {
  return typeof tls.getCACertificates === 'function' ? tls.getCACertificates('default') : tls.rootCertificates;
}

function headOf(request: ClientRequest, body: Uint8Array): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', (answer) => {
      // What breaks off before anybody reads is found by whoever reads; without this it would end the process.
      answer.on('error', () => undefined);
      resolve(answer);
    });
    request.on('error', (error) => reject(Object.assign(error, { reused: request.reusedSocket })));
    request.end(body);
  });
}
