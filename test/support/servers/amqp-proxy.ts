import { connect, createServer, type Socket } from 'node:net';

/** Stands between a client and its broker, counts what the client asks for, and can cut the line. */
export interface AmqpProxy {
  readonly port: number;
  /** How often each method was sent to the broker, as `queue.declare`. */
  counts(): Readonly<Record<string, number>>;
  reset(): void;
  /** Ends all connections; new ones are taken. */
  cut(): void;
  stop(): Promise<void>;
}

/** Those that change something, and publish (AMQP 0-9-1, section 1.4). */
const METHODS: Readonly<Record<string, string>> = {
  '40.10': 'exchange.declare',
  '40.20': 'exchange.delete',
  '50.10': 'queue.declare',
  '50.20': 'queue.bind',
  '50.40': 'queue.delete',
  '60.40': 'basic.publish',
  '20.10': 'channel.open',
  '85.10': 'confirm.select',
};
const GREETING_BYTES = 8;
const HEADER_BYTES = 7;
const METHOD_FRAME = 1;

export async function startAmqpProxy(target: number): Promise<AmqpProxy> {
  const sockets = new Set<Socket>();
  let counts: Record<string, number> = {};
  const count = (name: string) => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  const server = createServer((client) => {
    const broker = connect(target, '127.0.0.1');
    for (const [from, to] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.add(from);
      from.once('error', () => from.destroy());
      from.once('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
    const read = frameReader(count);
    client.on('data', read);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    counts: () => counts,
    reset: () => {
      counts = {};
    },
    cut,
    stop: () => {
      cut();
      return new Promise((done) => server.close(() => done()));
    },
  };
}

/** Reads the frames of one client and names its methods. */
function frameReader(count: (method: string) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let greeted = false;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    if (!greeted && rest.length >= GREETING_BYTES) {
      greeted = true;
      rest = rest.subarray(GREETING_BYTES);
    }
    while (greeted && rest.length >= HEADER_BYTES) {
      const size = HEADER_BYTES + rest.readUInt32BE(3) + 1;
      if (rest.length < size) return;
      // A heartbeat has nothing in it.
      const name =
        rest[0] === METHOD_FRAME ? METHODS[`${rest.readUInt16BE(HEADER_BYTES)}.${rest.readUInt16BE(HEADER_BYTES + 2)}`] : undefined;
      if (name !== undefined) count(name);
      rest = rest.subarray(size);
    }
  };
}
