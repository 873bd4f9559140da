import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import { BODY_WITHIN_MS, limitSlowBody } from './slow-bodies.ts';

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
}

export type Handler = (request: Request, from: Origin) => Response | Promise<Response>;

/** How long a whole request may take to come in, milliseconds. */
const UPLOAD_WITHIN_MS = 3_600_000;

/** Serves `handler` over HTTP. Rejects with `ListenError`. */
export async function listen(handler: Handler, host: string, port: number, body_within_ms = BODY_WITHIN_MS): Promise<HttpServer> {
  const answer = (request: Request, { incoming }: HttpBindings) => handler(request, originOf(incoming.socket));
  // hono types the bindings of HTTP/2 too; this server speaks HTTP/1.1 only
  const server = createAdaptorServer({
    fetch: answer as (request: Request, bindings: unknown) => Response | Promise<Response>,
    overrideGlobalObjects: false,
  }) as Server;
  // Node's own 5 minutes would cut off an artifact that is pushed over a slow line; the limit for headers stays.
  server.requestTimeout = UPLOAD_WITHIN_MS;
  server.on('request', (incoming) => limitSlowBody(incoming, body_within_ms));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new ListenError(explain(error, host, port), { cause: error })));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : port, close: () => close(server) };
}

function originOf(socket: Socket): Origin {
  return { here: isFromHere(socket), address: socket.remoteAddress ?? '' };
}

/** What comes from an address of this machine itself comes from it: an answer to a forged one would never get out of it. */
function isFromHere({ remoteAddress, localAddress }: Socket): boolean {
  if (remoteAddress === undefined) return false;
  return remoteAddress === localAddress || remoteAddress === '::1' || /^(::ffff:)?127\./.test(remoteAddress);
}

function close(server: Server): Promise<void> {
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
