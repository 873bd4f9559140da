import type { Server } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import { ProblemError, problemResponse } from '../shared/supervisor/problem.ts';
import { BODY_WITHIN_MS, limitSlowBody } from './slow-bodies.ts';
import { type Closable, TLS_LIMITS, type Tls, tellApart } from './tls.ts';

export interface HttpServer {
  /** The one that was asked for, or the one that the system chose for 0. */
  readonly port: number;
  /** Stops listening and ends every connection: open event streams would keep a plain close waiting for good. */
  close(): Promise<void>;
}

/** The address can't be listened on; `message` says what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** Where a request comes from, by its connection. No header counts: anybody can write one. */
export interface Origin {
  /** From this machine. */
  readonly here: boolean;
  /** Of the other end. */
  readonly address: string;
  /** Over TLS. */
  readonly secure: boolean;
}

export type Handler = (request: Request, from: Origin) => Response | Promise<Response>;

/** How long a whole request may take to come in, milliseconds. */
const UPLOAD_WITHIN_MS = 3_600_000;

export interface ListenOptions {
  readonly body_within_ms?: number;
  /** Present: the port speaks https to the network, and plain http to this machine only. */
  readonly tls?: Tls;
}

/** Serves `handler` over HTTP. Rejects with `ListenError`. */
export async function listen(handler: Handler, host: string, port: number, options: ListenOptions = {}): Promise<HttpServer> {
  const { tls } = options;
  const plain = createHttp(tls === undefined ? handler : withoutStrangers(handler), options) as Server;
  const secure = tls === undefined ? undefined : (createHttp(handler, options, tls) as HttpsServer);
  if (secure !== undefined) tls?.onRenewed((context) => secure.setSecureContext({ ...context, minVersion: TLS_LIMITS.minVersion }));
  const server = secure === undefined ? plain : tellApart(plain, secure);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new ListenError(explain(error, host, port), { cause: error })));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : port, close: () => closeAll(server) };
}

function createHttp(handler: Handler, { body_within_ms = BODY_WITHIN_MS }: ListenOptions, tls?: Tls): Server | HttpsServer {
  const answer = (request: Request, { incoming }: HttpBindings) => {
    const from = originOf(incoming.socket);
    return isOfOtherScheme(request, from) ? problemResponse(otherScheme(request, from)) : handler(request, from);
  };
  // hono types the bindings of HTTP/2 too; this server speaks HTTP/1.1 only
  const server = createAdaptorServer({
    fetch: answer as (request: Request, bindings: unknown) => Response | Promise<Response>,
    overrideGlobalObjects: false,
    ...(tls === undefined ? {} : { createServer: createHttpsServer, serverOptions: { ...tls.context(), ...TLS_LIMITS } }),
  }) as Server | HttpsServer;
  // Node's own 5 minutes would cut off an artifact that is pushed over a slow line; the limit for headers stays.
  server.requestTimeout = UPLOAD_WITHIN_MS;
  server.on('request', (incoming) => limitSlowBody(incoming, body_within_ms));
  return server;
}

/** Beside https, plain http is for the node's own services and commands. */
export function withoutStrangers(handler: Handler): Handler {
  return (request, from) => (from.here ? handler(request, from) : problemResponse(httpsOnly()));
}

function httpsOnly(): ProblemError {
  return new ProblemError('https_required', 'this node speaks https to other machines: use https:// in its URL');
}

/** A request line may hold a whole URL (RFC 9112, section 3.2.2), and so say https where nothing is encrypted: who judges by the URL must not believe that. */
function isOfOtherScheme({ url }: Request, { secure }: Origin): boolean {
  return url.startsWith('https:') !== secure;
}

function otherScheme({ url }: Request, { secure }: Origin): ProblemError {
  const spoken = secure ? 'https' : 'plain http';
  return new ProblemError(
    'bad_request',
    `the request is for ${new URL(url).origin} and came over ${spoken}: send the path alone in the request line`,
  );
}

function originOf(socket: Socket): Origin {
  return { here: isFromHere(socket), address: socket.remoteAddress ?? '', secure: 'encrypted' in socket };
}

/** What comes from an address of this machine itself comes from it: an answer to a forged one would never get out of it. */
function isFromHere({ remoteAddress, localAddress }: Socket): boolean {
  if (remoteAddress === undefined) return false;
  return remoteAddress === localAddress || remoteAddress === '::1' || /^(::ffff:)?127\./.test(remoteAddress);
}

function closeAll(server: Closable): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function explain({ code, message }: NodeJS.ErrnoException, host: string, port: number): string {
  if (code === 'EADDRINUSE') return `another program listens on port ${port} already: stop it, or choose another port with --port`;
  if (code === 'EACCES') return `this user may not listen on port ${port}: choose one from 1024 on with --port`;
  if (code === 'EADDRNOTAVAIL') return `${host} is no address of this machine: choose another with --host`;
  return `can't listen on ${host} port ${port}: ${message}`;
}
