import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it, onTestFinished } from 'vitest';
import { createNodeFetch } from '../../runtime-node/node-fetch.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

it('a stream ends when its request is aborted, also after a garbage collection', async () => {
  let closed: () => void = () => undefined;
  const isClosed = new Promise<void>((resolve) => (closed = resolve));
  const server = createServer((_, response) => {
    response.on('close', closed);
    response.writeHead(200).write('open');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close().closeAllConnections());
  const fetch = createNodeFetch();
  const life = new AbortController();
  const open = async () => {
    const { body } = await fetch(new Request(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { signal: life.signal }));
    if (body === null) throw new Error('there is no stream');
    const reader = body.getReader();
    await reader.read();
    return reader.read().catch((error: Error) => error.name);
  };
  const reading = open();
  // What was allocated meanwhile pushes the request out of the young generation.
  for (let round = 0; round < 20; round += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
  life.abort();
  expect(await reading).toBe('AbortError');
  await isClosed;
});
