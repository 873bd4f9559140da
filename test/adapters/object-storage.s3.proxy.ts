import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import { listenOn } from './object-storage.s3.servers.ts';

export interface Seen {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Absent while the answer is on its way. */
  status?: number;
}

/** What to do with a request in place of handing it on: nothing (it is handed on), or break the connection. */
export type Meddle = (
  seen: Seen,
  index: number,
) => Promise<undefined | 'break before' | 'break after'> | undefined | 'break before' | 'break after';

/** Stands on the wire before a store, and counts. The Host header stays, so signatures hold. */
export async function watch(endpoint: string, options: { meddle?: Meddle } = {}) {
  const seen: Seen[] = [];
  const target = new URL(endpoint);
  const agent = new Agent({ keepAlive: true });
  const server = createServer(async (incoming, outgoing) => {
    const one: Seen = { method: incoming.method ?? '', url: incoming.url ?? '' };
    seen.push(one);
    const body = await bytesOf(incoming);
    const fate = await options.meddle?.(one, seen.length - 1);
    if (fate === 'break before') return void incoming.socket.destroy();
    const { hostname: host, port } = target;
    const onward = request({ host, port, path: one.url, method: one.method, headers: incoming.headers, agent }, async (answer) => {
      one.status = answer.statusCode ?? 0;
      if (fate === 'break after') {
        await bytesOf(answer);
        return void incoming.socket.destroy();
      }
      outgoing.writeHead(one.status, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => incoming.socket.destroy());
    onward.end(body);
  });
  const listening = await listenOn(server);
  const close = async () => {
    agent.destroy();
    await listening.close();
  };
  const writes = () => seen.filter(({ method }) => method !== 'GET' && method !== 'HEAD');
  return { endpoint: `http://127.0.0.1:${listening.port}`, seen, writes, close };
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks);
}
