import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';

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

/** Serves `handler` over HTTP. Rejects with `ListenError`. */
export async function listen(handler: (request: Request) => Response | Promise<Response>, host: string, port: number): Promise<HttpServer> {
  const server = createAdaptorServer({ fetch: handler, overrideGlobalObjects: false }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new ListenError(explain(error, host, port), { cause: error })));
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : port, close: () => close(server) };
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
