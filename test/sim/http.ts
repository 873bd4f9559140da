import type { Fetch } from '../../shared/client.ts';
import type { Network } from './network.ts';

/** A program that listens on a host. It answers until it ends; then its connections break. */
export interface Listener {
  answer: Fetch;
  readonly isAlive: () => boolean;
  /** Calls `act` when the program ends, and returns how to call that off. */
  onEnd(act: () => void): () => void;
}

/** What a URL leads to. */
export interface Host {
  readonly name: string;
  /** Machine and network card are on. */
  isOn(): boolean;
  listener(): Listener | undefined;
}

/** One request as it goes out and what came back; told to whoever watches. */
export interface Exchange {
  readonly from: string;
  readonly to: string;
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: ArrayBuffer | undefined;
}

export interface HttpDeps {
  readonly network: Network;
  /** Who listens at an origin; undefined where there is no such host. */
  hostAt(origin: string): Host | undefined;
  /** Before anything is sent. */
  onRequest(exchange: Exchange): void;
  /** When it arrives at a program; returns what to call with its answer. */
  onArrival(exchange: Exchange): ((response: Response) => void) | undefined;
  /** Whether the body of the answer is to be shown to `onAnswer`. */
  wantsBody(exchange: Exchange): boolean;
  /** When the answer has come back. */
  onAnswer(exchange: Exchange, status: number, body: string): void;
}

/** The dialling side: a process on a host. */
export interface Dialler {
  readonly host: string;
  readonly isAlive: () => boolean;
}

/** One for each that waits: a promise that all share would keep what waits for it, a whole dead world, for good. */
const never = () => new Promise<never>(() => undefined);

/**
 * `fetch` through the simulated network. As with the real one a request may be refused (the machine is there, no program
 * listens), break off (the program ended), be answered late, or never.
 */
export function fetchThrough(deps: HttpDeps, dialler: Dialler): Fetch {
  return async (request) => {
    const sent = await readRequest(request);
    if (!dialler.isAlive()) return never();
    const connection = new Connection(deps, dialler, sent, request.signal);
    return connection.open();
  };
}

interface Sent {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: ArrayBuffer | undefined;
}

async function readRequest(request: Request): Promise<Sent> {
  const { method } = request;
  const headers = new Headers(request.headers);
  const hasBody = method !== 'GET' && method !== 'HEAD';
  const body = hasBody ? await request.arrayBuffer() : undefined;
  // As `fetch` does on the wire.
  if (body !== undefined) headers.set('content-length', String(body.byteLength));
  return { method, url: new URL(request.url), headers, body };
}

/** One request on a connection of its own, and its answer part by part, in order. */
class Connection {
  readonly #deps: HttpDeps;
  readonly #dialler: Dialler;
  readonly #sent: Sent;
  readonly #signal: AbortSignal;
  readonly #exchange: Exchange;
  readonly #host: Host | undefined;
  readonly #answered = Promise.withResolvers<Response>();
  /** Told to the program when the caller goes away. */
  readonly #gone = new AbortController();
  #isOver = false;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** Parts of the answer that are under way arrive one after the other. */
  #expected = 0;
  #arrived = new Map<number, () => void>();
  #next = 0;

  constructor(deps: HttpDeps, dialler: Dialler, sent: Sent, signal: AbortSignal) {
    this.#deps = deps;
    this.#dialler = dialler;
    this.#sent = sent;
    this.#signal = signal;
    this.#host = deps.hostAt(sent.url.origin);
    this.#exchange = { from: dialler.host, to: this.#host?.name ?? sent.url.host, ...sent };
  }

  open(): Promise<Response> {
    const { network } = this.#deps;
    const { from, to } = this.#exchange;
    this.#deps.onRequest(this.#exchange);
    if (this.#signal.aborted) return Promise.reject(this.#signal.reason);
    this.#signal.addEventListener('abort', this.#hangUp, { once: true });
    if (this.#host === undefined) return this.#answered.promise;
    network.segment(from, to, () => this.#arrive(true));
    if (network.isDoubled(from, to)) network.segment(from, to, () => this.#arrive(false), 50);
    return this.#answered.promise;
  }

  readonly #hangUp = () => {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#answered.reject(this.#signal.reason);
    this.#breakStream(this.#signal.reason);
    const { from, to } = this.#exchange;
    this.#deps.network.segment(from, to, () => this.#gone.abort());
  };

  /** The request is there. Only the first copy of it is answered. */
  #arrive(isFirst: boolean): void {
    const host = this.#host;
    if (host === undefined || !host.isOn()) return;
    if (this.#isOver && isFirst && !this.#deps.network.isLateHeard()) return;
    const listener = host.listener();
    if (listener === undefined) {
      if (isFirst) this.#back(() => this.#fail('ECONNREFUSED', `connect ECONNREFUSED ${this.#sent.url.host}`));
      return;
    }
    void this.#handle(listener, isFirst);
  }

  async #handle(listener: Listener, isFirst: boolean): Promise<void> {
    const { method, url, headers, body } = this.#sent;
    const reset = () => {
      if (isFirst && this.#host?.isOn()) this.#back(() => this.#fail('ECONNRESET', 'other side closed'));
    };
    const callOff = listener.onEnd(reset);
    const answered = this.#deps.onArrival(this.#exchange);
    const init = body === undefined ? {} : { body };
    const request = new Request(url, { method, headers: new Headers(headers), signal: this.#gone.signal, ...init });
    const response = await listener.answer(request);
    if (!listener.isAlive()) return;
    answered?.(response);
    if (!isFirst) {
      callOff();
      return void response.body?.cancel();
    }
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    await (isStream ? this.#answerStream(response) : this.#answerWhole(response));
    if (listener.isAlive()) callOff();
  }

  async #answerWhole(response: Response): Promise<void> {
    const body = this.#deps.wantsBody(this.#exchange) ? await response.clone().text() : '';
    this.#back(() => {
      if (this.#isOver) return;
      this.#end();
      this.#deps.onAnswer(this.#exchange, response.status, body);
      this.#answered.resolve(response);
    });
  }

  async #answerStream(response: Response): Promise<void> {
    const { status, headers } = response;
    const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
    this.#gone.signal.addEventListener('abort', () => void reader.cancel(), { once: true });
    this.#back(() => this.#openStream(status, headers));
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const { value } = part;
      this.#back(() => this.#stream?.enqueue(value));
    }
    this.#back(() => {
      if (this.#isOver) return;
      this.#end();
      this.#stream?.close();
    });
  }

  #openStream(status: number, headers: Headers): void {
    if (this.#isOver) return;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#stream = controller;
      },
      cancel: () => {
        this.#stream = undefined;
        this.#hangUp();
      },
    });
    this.#deps.onAnswer(this.#exchange, status, '');
    this.#answered.resolve(new Response(body, { status, headers }));
  }

  /** Sends a part of the answer back; parts arrive in the order in which they were sent. */
  #back(deliver: () => void): void {
    const { from, to } = this.#exchange;
    const number = this.#expected;
    this.#expected += 1;
    this.#deps.network.segment(to, from, () => {
      this.#arrived.set(number, deliver);
      for (let next = this.#arrived.get(this.#next); next !== undefined; next = this.#arrived.get(this.#next)) {
        this.#arrived.delete(this.#next);
        this.#next += 1;
        if (this.#dialler.isAlive()) next();
      }
    });
  }

  #fail(code: string, message: string): void {
    if (this.#isOver) return;
    this.#end();
    const cause = Object.assign(new Error(message), { code });
    this.#answered.reject(new TypeError('fetch failed', { cause }));
    this.#breakStream(new TypeError('terminated', { cause }));
  }

  #breakStream(reason: unknown): void {
    this.#stream?.error(reason);
    this.#stream = undefined;
  }

  #end(): void {
    this.#isOver = true;
    this.#signal.removeEventListener('abort', this.#hangUp);
  }
}
