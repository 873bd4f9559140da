import { connect, type Socket } from 'node:net';

/** One HTTP/1.1 request as bytes, ready to be sent over and over. */
export function rawRequest(method: string, path: string, headers: Readonly<Record<string, string>>, body = ''): Buffer {
  const lines = Object.entries({ host: 'bench', ...headers, 'content-length': String(Buffer.byteLength(body)) }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
}

export interface LoadResult {
  readonly requests: number;
  readonly perSecond: number;
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>;
}

/**
 * Sends requests over `connections` sockets, the next one on a socket when the answer of the last is
 * there, for `seconds`. A raw socket costs so little that the server is what is measured.
 */
export async function load(port: number, connections: number, seconds: number, next: (index: number) => Buffer): Promise<LoadResult> {
  const statuses: Record<string, number> = {};
  const started = performance.now();
  const end = started + seconds * 1000;
  let sent = 0;
  const run = (socket: Socket) =>
    new Promise<void>((resolve, reject) => {
      let pending = Buffer.alloc(0);
      const send = () => socket.write(next(sent++));
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
        const size = answerSize(pending);
        if (size === undefined || pending.length < size) return;
        const status = pending.toString('latin1', 9, 12);
        statuses[status] = (statuses[status] ?? 0) + 1;
        pending = pending.subarray(size);
        if (performance.now() < end) send();
        else {
          socket.end();
          resolve();
        }
      });
      send();
    });
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)));
  await Promise.all(sockets.map(run));
  const requests = Object.values(statuses).reduce((sum, count) => sum + count, 0);
  return { requests, perSecond: requests / ((performance.now() - started) / 1000), statuses };
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(socket));
    socket.once('error', reject);
  });
}

/** Bytes of the first answer in the buffer; undefined while its head is not complete. */
function answerSize(buffer: Buffer): number | undefined {
  const head = buffer.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const text = buffer.toString('latin1', 0, head);
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
  if (length !== undefined) return head + 4 + Number(length);
  if (!/\r\ntransfer-encoding: chunked/i.test(text)) return head + 4;
  const last = buffer.indexOf('0\r\n\r\n', head + 4);
  return last < 0 ? undefined : last + 5;
}
