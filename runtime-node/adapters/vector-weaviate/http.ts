import { type ClientRequest, type IncomingHttpHeaders, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import type { Clock } from '../../../shared/ports/clock.ts';

/** No answer of a Weaviate that is asked in pages is larger; one that is would fill the memory. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With the query, after the base address. */
  readonly path: string;
  /** JSON. A function makes it anew for each attempt. */
  readonly body?: string | (() => string);
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface HttpOptions {
  readonly base: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM certificates to trust beside nothing else. Absent: those that Node trusts. */
  readonly ca?: string;
  readonly max_sockets: number;
  /** For the whole answer. */
  readonly timeout_ms: number;
  readonly clock: Clock;
}

/** Rejected instead of an answer when `timeout_ms` have passed. */
export class TooLate extends Error {}

/**
 * Calls one server over connections that are kept. Node's own fetch can neither trust a certificate authority of the
 * caller's nor tell why a connection failed in its error's own code, so this is `node:http`.
 */
export function createHttp({ base, headers, ca, max_sockets, timeout_ms, clock }: HttpOptions) {
  const isTls = base.protocol === 'https:';
  const settings = { keepAlive: true, maxSockets: max_sockets };
  const agent = isTls ? new TlsAgent({ ...settings, ...(ca === undefined ? {} : { ca }) }) : new PlainAgent(settings);
  const prefix = base.pathname.replace(/\/+$/, '');

  const open = ({ method, path }: Call, body: string | undefined, signal: AbortSignal): ClientRequest => {
    const length = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
    const options = { method, agent, signal, headers: { accept: 'application/json', ...headers, ...length } };
    const url = new URL(`${prefix}${path}`, base);
    return isTls ? tlsRequest(url, options) : plainRequest(url, options);
  };

  return {
    /** Rejects with the system's error, or with `TooLate`. */
    async send(call: Call, signal: AbortSignal): Promise<Answer> {
      const ending = new AbortController();
      const end = () => ending.abort();
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
      let late = false;
      const timer = clock.sleep(timeout_ms, ending.signal).then(() => {
        late = !ending.signal.aborted;
        end();
      });
      try {
        const body = typeof call.body === 'function' ? call.body() : call.body;
        return await exchange(open(call, body, ending.signal), body);
      } catch (error) {
        throw late ? new TooLate(`no answer within ${timeout_ms} ms`) : error;
      } finally {
        end();
        signal.removeEventListener('abort', end);
        await timer;
      }
    },
    close: () => agent.destroy(),
  };
}

export type Http = ReturnType<typeof createHttp>;

function exchange(request: ClientRequest, body: string | undefined): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  request.on('error', reject);
  request.on('response', (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on('error', reject);
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) request.destroy(new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`));
    });
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      if (response.complete) resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      else reject(new Error('the connection ended within the answer'));
    });
  });
  request.end(body);
  return promise;
}
