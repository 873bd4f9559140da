import { createServer, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CountingProxy {
  readonly url: string;
  /** What was passed on, as `POST /v1/sites/uplink`, in order. */
  readonly calls: { readonly call: string; readonly at_ms: number }[];
  close(): Promise<void>;
}

/** Passes every request on to `target` and remembers it. What does not answer there does not answer here. */
export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const calls: { call: string; at_ms: number }[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method, url = '/', headers } = incoming;
    calls.push({ call: `${method} ${new URL(url, target).pathname}`, at_ms: performance.now() });
    const passed = send(new URL(url, target), { method, headers: { ...headers, connection: 'close' } }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
      answer.on('error', () => outgoing.destroy());
    });
    passed.on('error', () => outgoing.destroy());
    outgoing.on('close', () => passed.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
