import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { rabbitBus, rabbitTests } from './event-bus.rabbitmq.support.ts';

const why = whyNoRabbitMq();
if (why !== undefined) test.skip(`connecting to RabbitMQ (${why})`, () => {});

const QUEUE = { name: 'q', type: 'classic', arguments: {} } as const;
const SECRET = 'p4ss/word%';

/** What the first call says of an address, which never holds the password. */
async function failureAt(url: string, options: { ca?: string; management_url?: string } = {}) {
  const bus = rabbitBus({ url, ...options });
  const error = await bus.ensureQueue(QUEUE).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  await bus.close();
  for (const text of [String(error), JSON.stringify(bus.backend)]) {
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(encodeURIComponent(SECRET));
  }
  return error;
}

const saying = (kind: string, ...parts: string[]) =>
  expect.objectContaining({
    kind,
    message: expect.stringMatching(new RegExp(parts.map((part) => part.replace(/[(/)]/g, '\\$&')).join('.*'))),
  });
const servers: Server[] = [];
const urlOf = (port: number, protocol = 'amqp') => `${protocol}://someone:${encodeURIComponent(SECRET)}@127.0.0.1:${port}`;

/** A server of another kind. */
async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Says `words` to whoever comes, and hangs up. */
function greeting(words: Buffer): Server {
  return createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.resume().end(words);
  });
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
});

describe('an address that leads to no RabbitMQ says what was found', () => {
  test.each([
    ['not a url at all', 'is not a URL'],
    [`http://someone:${encodeURIComponent(SECRET)}@h`, 'starts with http:'],
    ['amqp://u:p@h/a/b', '%2F'],
    [`amqp://u:${SECRET}@h`, ''],
  ])('%s', (url, said) => {
    let error: unknown;
    try {
      rabbitBus({ url });
    } catch (reason) {
      error = reason;
    }
    expect(error).toEqual(saying('failed', 'AMQP_URL', said));
    expect(String(error)).not.toContain('p4ss');
  });

  test('nothing listens there', async () => {
    expect(await failureAt(urlOf(await freePort()))).toEqual(saying('backend_away', 'nothing listens there'));
  });

  test('no such host', async () => {
    expect(await failureAt('amqp://u:p@no-such-host.invalid')).toEqual(saying('backend_away', 'host name'));
  });

  test('an S3 server', async () => {
    const http = createHttpServer((_request, response) => {
      response.writeHead(403, { 'content-type': 'application/xml', 'x-amz-request-id': 'tx1' });
      response.end('<Error><Code>AccessDenied</Code></Error>');
    });
    expect(await failureAt(urlOf(await listen(http)))).toEqual(saying('backend_away', 'an S3 server', 'MINIO_ENDPOINT'));
  });

  test('some HTTP server', async () => {
    const http = createHttpServer((_request, response) => response.writeHead(200, { server: 'nginx' }).end('hello'));
    expect(await failureAt(urlOf(await listen(http)))).toEqual(saying('backend_away', 'an HTTP server (nginx)'));
  });

  test('a broker of another version of AMQP, and a server of another kind', async () => {
    const qpid = await listen(greeting(Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 1, 0, 0])));
    expect(await failureAt(urlOf(qpid))).toEqual(saying('backend_away', 'another AMQP version (0.1.0.0)'));
    const ssh = await listen(greeting(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')));
    expect(await failureAt(urlOf(ssh))).toEqual(saying('backend_away', 'SSH-2.0'));
  });
});

describe.skipIf(why !== undefined)('a real RabbitMQ that does not let us in says why', () => {
  const rabbit = rabbitTests();

  test('wrong password, unknown user', async () => {
    expect(await failureAt(rabbit.server.url({ password: SECRET }))).toEqual(saying('unauthorized', 'refused the user guest', 'AMQP_URL'));
    expect(await failureAt(urlOf(rabbit.server.port))).toEqual(saying('unauthorized', 'refused the user someone'));
  });

  test('unknown virtual host, and one without permissions', async () => {
    expect(await failureAt(rabbit.server.url({ vhost: 'no such/host' }))).toEqual(saying('unauthorized', 'virtual host "no such/host"'));
  });

  test('a virtual host with a name of its own', async () => {
    await rabbit.server.ctl('add_vhost', 'a/b c');
    await rabbit.server.ctl('set_permissions', '-p', 'a/b c', 'guest', '.*', '.*', '.*');
    const bus = rabbit.openManaged({ url: rabbit.server.url({ vhost: 'a/b c' }) });
    await bus.ensureQueue(QUEUE);
    expect((await bus.readTopology({ exchanges: [], queues: ['q'], bindings: [] })).queues).toEqual([QUEUE]);
    expect(bus.backend.identity).toBe(`amqp://127.0.0.1:${rabbit.server.port}/a%2Fb%20c`);
  });

  test('no permission for the item', async () => {
    await rabbit.server.ctl('add_user', 'narrow', SECRET);
    await rabbit.server.ctl('set_permissions', 'narrow', '^mine', '^mine', '^mine');
    expect(await failureAt(rabbit.server.url({ user: 'narrow', password: SECRET }))).toEqual(saying('unauthorized', 'queue q', 'refused'));
  });

  test('the port of the management interface', async () => {
    const { port } = new URL(rabbit.server.management_url);
    expect(await failureAt(urlOf(Number(port)))).toEqual(saying('backend_away', 'management interface', 'RABBITMQ_MANAGEMENT_URL'));
  });

  test('with TLS: trusted by its authority, and told apart otherwise', async () => {
    const { tls_port, ca, port } = rabbit.server;
    const url = rabbit.server.url({ port: tls_port }).replace('amqp:', 'amqps:');
    const bus = rabbit.open({ url, ca });
    await bus.ensureQueue(QUEUE);
    const named = rabbit.open({ url: url.replace('127.0.0.1', 'localhost'), ca });
    await named.ensureQueue(QUEUE);
    expect(await failureAt(url)).toEqual(saying('backend_away', 'certificate is not trusted', 'NODE_EXTRA_CA_CERTS'));
    expect(await failureAt(urlOf(port, 'amqps'), { ca })).toEqual(saying('backend_away', 'without TLS: use amqp:'));
    expect(await failureAt(urlOf(tls_port))).toEqual(saying('backend_away', 'speaks TLS: use amqps:'));
  });
});
