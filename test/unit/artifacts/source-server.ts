import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ProvedSource } from '../../../shared/discovery/types.ts';

export interface SourceServer extends ProvedSource {
  /** Bytes of bodies that were sent, by the position at which they stood: how often each was given. */
  readonly given: { start: number; length: number }[];
  readonly requests: IncomingMessage[];
  behave: Behave;
  close(): Promise<void>;
}

export interface Given {
  readonly bytes: Uint8Array;
  /** Where the request wants to begin. */
  readonly start: number;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Writes a part of the artifact. */
  write(from: number, to: number): Promise<void>;
}

export type Behave = (given: Given) => void | Promise<void>;

/** As a Supervisor does it. */
export const honest: Behave = async ({ bytes, start, response, write }) => {
  if (start >= bytes.length && start > 0) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  head({ bytes, start, response });
  await write(start, bytes.length);
  response.end();
};

export const absent: Behave = ({ response }) => void response.writeHead(404).end();

export function head({ bytes, start, response }: Pick<Given, 'bytes' | 'start' | 'response'>): void {
  const headers = { 'content-length': bytes.length - start };
  if (start === 0) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` });
}

/** A source of one artifact over real HTTP, as good or bad as `behave` makes it. */
export async function startSource(bytes: Uint8Array, behave: Behave = honest): Promise<SourceServer> {
  const given: SourceServer['given'] = [];
  const requests: IncomingMessage[] = [];
  const state = { behave };
  const server = createServer((request, response) => {
    requests.push(request);
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const write = async (from: number, to: number) => {
      for (let at = from; at < to; at += 1000) {
        const end = Math.min(to, at + 1000);
        given.push({ start: at, length: end - at });
        await new Promise<void>((resolve) => response.write(bytes.subarray(at, end), () => resolve()));
      }
    };
    void state.behave({ bytes, start, request, response, write });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fetch: (outgoing) => fetch(outgoing),
    given,
    requests,
    get behave() {
      return state.behave;
    },
    set behave(next) {
      state.behave = next;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
