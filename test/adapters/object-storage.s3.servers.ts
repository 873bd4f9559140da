import { createServer as createHttp, type Server as HttpServer, type RequestListener } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

/** Listens on a free port of the loopback; `close` ends its connections too. */
export async function listenOn(server: Server | HttpServer): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((done) => void server.close(() => done()));
  };
  return { port: address.port, close };
}

/** A web server for the length of the test. */
export async function webServer(answer: RequestListener, tls?: { key: string; cert: string }): Promise<number> {
  const { port, close } = await listenOn(tls === undefined ? createHttp(answer) : createHttps(tls, answer));
  onTestFinished(close);
  return port;
}

/** A server that is no web server, for the length of the test. */
export async function rawServer(meet: (socket: Socket) => void): Promise<number> {
  const { port, close } = await listenOn(createServer(meet));
  onTestFinished(close);
  return port;
}
