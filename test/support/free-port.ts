import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/**
 * Below the ports that systems give to who asks for any, and to connections: none of these is taken by chance between
 * the moment when a test chooses it and the one when a process of the test listens there.
 */
const FIRST = 20_000;
const COUNT = 10_000;

/** A TCP port of 127.0.0.1 that is free, and that nobody else is given here as long as this process lives. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < COUNT; tried += 1) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
  throw new Error(`no port from ${FIRST} to ${FIRST + COUNT - 1} is free`);
}

/** Who holds the UDP port of that number, which no test needs, has the TCP port. The system gives it back when the process ends. */
function reserve(port: number): Promise<boolean> {
  return new Promise((done) => {
    const sign = createSocket('udp4').unref();
    sign.once('error', () => sign.close(() => done(false)));
    sign.bind({ port, address: '127.0.0.1', exclusive: true }, () => done(true));
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
