import { connect, createServer, type Socket } from 'node:net';
import { listenOn } from '../../adapters/object-storage.s3.servers.ts';

/** The way to a server, which a test cuts: then everybody is refused. */
export interface Line {
  readonly port: number;
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function openLine(to: { readonly hostname: string; readonly port: number }): Promise<Line> {
  const open = new Set<Socket>();
  let isCut = false;
  const server = createServer((client) => {
    if (isCut) return void client.destroy();
    const upstream = connect(to.port, to.hostname);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one);
      one
        .on('error', () => other.destroy())
        .on('close', () => {
          open.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
  });
  const { port, close } = await listenOn(server);
  const cut = () => {
    isCut = true;
    for (const socket of open) socket.destroy();
  };
  return {
    port,
    cut,
    mend: () => {
      isCut = false;
    },
    close: () => {
      cut();
      return close();
    },
  };
}
