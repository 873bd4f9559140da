import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What the proxy does with each request. `slow`: passes it on late. `failing`: answers 500 itself. `silent`: takes it and
 * never answers. `cut`: ends the connection, as a host that is gone does.
 */
export type Mood = 'well' | 'slow' | 'failing' | 'silent' | 'cut';

export interface FaultyProxy {
  readonly url: string;
  /** Takes effect with the next request; streams that are open end. */
  become(mood: Mood): void;
  /** The requests since the last `become`, as `POST /v1/leader/claim`. */
  seen(): readonly string[];
  close(): Promise<void>;
}

export interface ProxyOptions {
  readonly target: string;
  /** How late a slow request is passed on, milliseconds. */
  readonly slow_ms?: number;
}

/** A proxy for HTTP in front of a Worker, whose faults stand for those of the Worker and of the way to it. */
export async function startFaultyProxy({ target, slow_ms = 1_000 }: ProxyOptions): Promise<FaultyProxy> {
  let mood: Mood = 'well';
  let seen: string[] = [];
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    seen.push(`${incoming.method} ${incoming.url?.split('?')[0]}`);
    if (mood === 'cut') return void incoming.socket.destroy();
    if (mood === 'silent') return;
    if (mood === 'failing') return void outgoing.writeHead(500, { 'content-type': 'text/html' }).end('<h1>Error 1101</h1>');
    if (mood === 'slow') await sleep(slow_ms);
    pass(target, incoming, outgoing);
  };
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing));
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    become(next) {
      mood = next;
      seen = [];
      server.closeAllConnections();
    },
    seen: () => seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Streams both ways. Whoever breaks off first takes the other side along. */
function pass(target: string, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method, headers, url = '/' } = incoming;
  const upstream = request(new URL(url, target), { method, headers }, (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(outgoing);
    response.once('error', () => outgoing.destroy());
  });
  upstream.once('error', () => outgoing.destroy());
  outgoing.once('close', () => upstream.destroy());
  incoming.pipe(upstream);
}
