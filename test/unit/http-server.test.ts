import { afterEach, describe, expect, it } from 'vitest';
import { type HttpServer, ListenError, listen } from '../../runtime-node/http-server.ts';

const servers: HttpServer[] = [];
const start = async (handler: (request: Request) => Response, port = 0) => {
  const server = await listen(handler, '127.0.0.1', port);
  servers.push(server);
  return server;
};
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

describe('listen', () => {
  it('serves on a free port', async () => {
    const { port } = await start((request) => new Response(new URL(request.url).pathname));
    const response = await fetch(`http://127.0.0.1:${port}/here`);
    expect(await response.text()).toBe('/here');
  });

  it('says which port is taken and what to do', async () => {
    const { port } = await start(() => new Response());
    await expect(start(() => new Response(), port)).rejects.toThrow(ListenError);
    await expect(start(() => new Response(), port)).rejects.toThrow(`port ${port} already`);
  });

  it('closes although an event stream is open', async () => {
    const server = await start(
      () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([58, 10])) })),
    );
    const response = await fetch(`http://127.0.0.1:${server.port}/`);
    const reader = response.body!.getReader();
    await reader.read();
    await server.close();
    await expect(reader.read()).rejects.toThrow();
  });
});
