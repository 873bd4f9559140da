import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type Handler, type HttpServer, ListenError, listen } from '../../runtime-node/http-server.ts';

const servers: HttpServer[] = [];
const start = async (handler: Handler, port = 0, body_within_ms?: number) => {
  const server = await listen(handler, '127.0.0.1', port, body_within_ms === undefined ? {} : { body_within_ms });
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

  it('ends a request whose body trickles in, and leaves an upload its time', async () => {
    const { port } = await start(async (request) => new Response(await request.text()), 0, 20);
    expect(await talk(port, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf')).toMatch(/^HTTP\/1.1 408 /);
    const upload = connect(port, '127.0.0.1');
    upload.write('PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf');
    // Another slow one has run out of its time by now.
    await talk(port, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf');
    upload.write(' more.');
    expect(await readAll(upload)).toMatch(/^HTTP\/1.1 200 [\s\S]*half more\./);
  });

  it('believes the connection and not the request line whether a request came over https', async () => {
    const { port } = await start((request) => new Response(new URL(request.url).pathname));
    const ask = (target: string) => talk(port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(await ask('https://cloud.example/here')).toMatch(/^HTTP\/1.1 400 [\s\S]*came over plain http/);
    expect(await ask('http://cloud.example/here')).toMatch(/^HTTP\/1.1 200 [\s\S]*\/here$/);
  });

  it('refuses headers beyond 16 KiB', async () => {
    const { port } = await start(() => new Response());
    expect(await talk(port, `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 /);
  });
});

/** All that the server says to one text, until it closes the connection. */
function talk(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(text);
  return readAll(socket);
}

async function readAll(socket: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
