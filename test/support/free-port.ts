import { createServer } from 'node:net';

/**
 * Below the ports that systems give to who asks for any, and to connections: none of these is taken by chance between
 * the moment when a test chooses it and the one when a process of the test listens there.
 */
const FIRST = 20_000;
const PARTS = 16;
const PART_SIZE = 600;

/** Test files that run at the same time have a part each. */
const begin = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % PARTS) * PART_SIZE;
let next = Math.floor(Math.random() * PART_SIZE);

/** A port of 127.0.0.1 that is free, and that this process was not given before. */
export async function freePort(): Promise<number> {
  for (let tried = 0; tried < PART_SIZE; tried += 1) {
    const port = begin + next;
    next = (next + 1) % PART_SIZE;
    if (await isFree(port)) return port;
  }
  throw new Error(`no port from ${begin} to ${begin + PART_SIZE - 1} is free`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}
