import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createWeaviateIndex, type WeaviateOptions } from '../../runtime-node/adapters/vector-weaviate/index.ts';
import type { VectorErrorKind, VectorIndex } from '../../shared/ports/vector-index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { systemClock } from '../support/system-clock.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function listen(server: Server, scheme = 'http'): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const META = { hostname: 'http://[::]:8080', modules: {}, version: '1.39.0' };
const FOUND = { data: { Get: { Frame: [{ _additional: { id: '0190b6ae-7c1c-7a3e-8b57-2f6f5f1f1c11', vector: [1, 2] } }] } } };
type Answer = { status?: number; body?: unknown; headers?: Record<string, string> } | undefined;
type Script = (request: IncomingMessage, body: string) => Answer | Promise<Answer>;

/** A server that says it is a Weaviate and answers the rest from a script; nothing at all where that has nothing. */
async function scripted(script: Script) {
  const asked: string[] = [];
  const listener: RequestListener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const line = `${request.method} ${request.url}`;
    asked.push(line);
    const fixed: Answer = line === 'GET /v1/meta' ? { body: META } : line === 'POST /v1/graphql' ? { body: FOUND } : undefined;
    const answer = fixed ?? (await script(request, Buffer.concat(chunks).toString()));
    if (answer === undefined) return;
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
    response.end(answer.body === undefined ? '' : JSON.stringify(answer.body));
  };
  const server = createHttpServer((request, response) => void listener(request, response));
  closing.push(() => server.closeAllConnections());
  return { url: await listen(server), asked };
}

function open(url: string, changes: Partial<WeaviateOptions> = {}): VectorIndex {
  const index = createWeaviateIndex({ url, clock: systemClock, random: seededRandom(), log: recordingLog(), attempts: 2, ...changes });
  closing.push(() => index.close());
  return index;
}

async function rejected(call: Promise<unknown>, kind: VectorErrorKind, ...words: string[]): Promise<string> {
  const error = await call.then(
    () => 'resolved',
    (reason: unknown) => reason,
  );
  expect(error).toEqual(expect.objectContaining({ name: 'VectorError', kind }));
  const { message } = error as Error;
  for (const word of words) expect(message).toContain(word);
  return message;
}

const FRAME = {
  class: 'Frame',
  vectorIndexConfig: { distance: 'cosine' },
  properties: [
    { name: 'bootplane_id', dataType: ['text'], tokenization: 'field', description: 'The id. Kept for bootplane: dimensions=2' },
    { name: 'bootplane_write', dataType: ['geoCoordinates'] },
    { name: 'n', dataType: ['int'] },
  ],
};
const stated = (message: string, status = 422) => ({ status, body: { error: [{ message }] } });
const failed = (message: string) => ({ result: { status: 'FAILED', errors: { error: [{ message }] } } });
const STORED = { result: { status: 'SUCCESS' } };

describe('Weaviate: what is at the address', () => {
  it.each(['weaviate:8080', 'ftp://weaviate', '', '::'])('"%s" is no address', (url) => {
    expect(() => open(url)).toThrow(expect.objectContaining({ kind: 'failed', message: expect.stringContaining('WEAVIATE_URL') }));
  });

  it('a secret in the address is refused and not repeated', () => {
    expect(() => open('http://admin:topsecret@weaviate:8080')).toThrow(/^(?!.*topsecret).*WEAVIATE_API_KEY/);
  });

  it.each([
    [{ api_key: 'top secret' }, 'WEAVIATE_API_KEY'],
    [{ api_key: '' }, 'WEAVIATE_API_KEY'],
    [{ ca: 'no certificate' }, 'PEM'],
  ])('what cannot be sent is refused at once: %j', (changes, word) => {
    expect(() => open('https://weaviate:8080', changes)).toThrow(expect.objectContaining({ message: expect.stringContaining(word) }));
  });

  it('a proxy before it that refuses a large body is not Weaviate itself', async () => {
    const { url } = await scripted(() => ({ status: 413, headers: { server: 'proxy/1' } }));
    await rejected(open(url).readClasses(['Frame']), 'failed', '413', 'proxy/1', "not Weaviate's own");
  });

  it('the identity is the address alone', () => {
    expect(open('https://weaviate.example:8443/v1/', { api_key: 'topsecret' }).backend).toEqual({
      kind: 'weaviate',
      identity: 'https://weaviate.example:8443',
    });
    expect(open('http://gate.example/vectors/v1').backend.identity).toBe('http://gate.example/vectors');
  });

  it('nothing listens', async () => {
    const server = createTcpServer();
    const url = await listen(server);
    server.close();
    await rejected(open(url).readClasses(['Frame']), 'backend_away', url, 'ECONNREFUSED', 'WEAVIATE_URL');
  });

  it.each([
    ['a web server', 404, 'text/html', '<html>not found</html>'],
    ['a web server that has everything', 200, 'text/html', '<html>hello</html>'],
    ['another JSON API', 404, 'application/json', '{"code":"not_found"}'],
    ['a JSON API without content', 200, 'application/json', '{}'],
  ])('%s is no Weaviate without classes', async (_what, status, type, body) => {
    const server = createHttpServer((_request, response) =>
      response.writeHead(status, { 'content-type': type, server: 'other/1' }).end(body),
    );
    const url = await listen(server);
    await rejected(open(url).readClasses(['Frame']), 'failed', 'not Weaviate', `status ${status}`, 'other/1', 'WEAVIATE_URL');
    await rejected(open(url).get('Frame', 'a'), 'failed', 'not Weaviate');
  });

  it('a server that speaks something else, as the gRPC port does', async () => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(Buffer.from('000006040000000000000500004000', 'hex'));
    });
    await rejected(open(await listen(server)).readClasses(['Frame']), 'failed', 'does not speak HTTP/1.1', 'gRPC');
  });

  it('a server that hangs up', async () => {
    const server = createTcpServer((socket) => socket.destroy());
    await rejected(open(await listen(server)).readClasses(['Frame']), 'backend_away');
  });

  it('https where there is no TLS', async () => {
    const { url } = await scripted(() => ({ body: {} }));
    await rejected(open(url.replace('http:', 'https:')).readClasses(['Frame']), 'failed', 'does not speak TLS', 'http://');
  });

  it('http where there is only TLS', async () => {
    const server = createHttpServer((_request, response) =>
      response.writeHead(400).end('Client sent an HTTP request to an HTTPS server.\n'),
    );
    await rejected(open(await listen(server)).readClasses(['Frame']), 'failed', 'https://');
  });

  it.each([
    [401, undefined, 'set WEAVIATE_API_KEY'],
    [401, 'topsecret', 'a key that it knows'],
    [403, 'topsecret', 'permission'],
  ])('%d with the key %s', async (status, api_key, advice) => {
    const { url } = await scripted(() => ({ status, body: { code: status, message: 'invalid api key' } }));
    const index = open(url, api_key === undefined ? {} : { api_key });
    const message = await rejected(index.readClasses(['Frame']), 'unauthorized', 'invalid api key', advice);
    expect(message).not.toContain('topsecret');
  });
});

/** A certificate that nobody signed but itself, for 127.0.0.1. */
function makeCertificate() {
  const folder = mkdtempSync(join(tmpdir(), 'bootplane-weaviate-'));
  closing.push(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=only for tests', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...names], { stdio: 'ignore' });
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

const noOpenssl = process.env.PATH?.split(delimiter).some((folder) => existsSync(join(folder, 'openssl')))
  ? ''
  : ' (skipped: needs openssl)';

describe.skipIf(noOpenssl !== '')(`Weaviate: TLS${noOpenssl}`, () => {
  it('trusts the authority that is named, and says what to do about another', async () => {
    const { key, cert } = makeCertificate();
    const server = createTlsServer({ key, cert }, (request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(request.url === '/v1/meta' ? META : { classes: [FRAME] }));
    });
    closing.push(() => server.closeAllConnections());
    const url = await listen(server, 'https');
    expect(await open(url, { ca: cert }).readClasses(['Frame'])).toHaveLength(1);
    await rejected(open(url).readClasses(['Frame']), 'failed', 'not trusted', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'certificate authority');
    const named = url.replace('127.0.0.1', 'localhost');
    await rejected(open(named, { ca: cert }).readClasses(['Frame']), 'failed', 'not trusted', 'ERR_TLS_CERT_ALTNAME_INVALID');
    await rejected(open(url.replace('https:', 'http:')).readClasses(['Frame']), 'backend_away');
  });
});

describe('Weaviate: calls that fail in passing', () => {
  it('are tried again, with a longer wait each time, and no more often than said', async () => {
    const { url, asked } = await scripted(() => ({ status: 503, body: { error: [{ message: 'leader not found' }] } }));
    await rejected(open(url, { attempts: 3 }).readClasses(['Frame']), 'backend_away', '503', 'leader not found');
    expect(asked.filter((line) => line === 'GET /v1/schema')).toHaveLength(3);
  });

  it('are done when one attempt succeeds', async () => {
    let calls = 0;
    const { url } = await scripted(() => {
      calls += 1;
      return calls === 1 ? { status: 502 } : { body: { classes: [FRAME] } };
    });
    expect(await open(url).readClasses(['frame'])).toEqual([{ name: 'Frame', dimensions: 2, properties: [{ name: 'n', type: 'int' }] }]);
  });

  it('objects are sent again with another mark, or Weaviate would leave those alone that it did not index', async () => {
    const bodies: string[] = [];
    const { url } = await scripted(({ url }, body) => {
      if (url !== '/v1/batch/objects') return { body: FRAME };
      bodies.push(body);
      return bodies.length === 1 ? { status: 503 } : { body: [STORED] };
    });
    await open(url).upsert('Frame', [{ id: 'a', vector: [1, 2], meta: { n: 1 } }]);
    const sent = bodies.map((body) => JSON.parse(body).objects[0]);
    const { bootplane_write: first, ...properties } = sent[0].properties;
    expect(properties).toEqual({ n: 1, bootplane_id: 'a' });
    expect(sent[1]).toEqual({ ...sent[0], properties: { ...properties, bootplane_write: expect.not.objectContaining(first) } });
  });

  it('what is refused is not tried again', async () => {
    const { url, asked } = await scripted(() => stated('no', 500));
    await rejected(open(url).readClasses(['Frame']), 'failed', 'no');
    expect(asked).toEqual(['GET /v1/meta', 'GET /v1/schema']);
  });

  it('an answer that does not come is given up, and not asked for again', async () => {
    const { url, asked } = await scripted(() => undefined);
    const clock = new SimulatedClock();
    const reading = rejected(open(url, { clock, timeout_ms: 5000 }).readClasses(['Frame']), 'backend_away', '5000 ms');
    while (asked.length < 2) await clock.advance(1);
    await clock.advance(5000);
    await reading;
    expect(asked).toHaveLength(2);
  });

  it('no more calls run at once than said, the others wait, and any beyond is refused', async () => {
    let [running, most] = [0, 0];
    const { url, asked } = await scripted(async () => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return { body: { classes: [FRAME] } };
    });
    const index = open(url, { max_calls: 2, max_waiting: 3 });
    const calls = await Promise.allSettled(Array.from({ length: 7 }, () => index.readClasses(['Frame'])));
    expect(calls.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    expect(calls.flatMap((call) => (call.status === 'rejected' ? [call.reason.message] : []))[0]).toContain('More than 3 calls wait');
    expect(most).toBe(2);
    expect(asked.filter((line) => line === 'GET /v1/schema')).toHaveLength(5);
  });

  it('ends what is under way when it is closed', async () => {
    const { url, asked } = await scripted(() => undefined);
    const index = open(url);
    const reading = rejected(index.readClasses(['Frame']), 'failed', 'closed');
    while (asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await index.close();
    await reading;
    await rejected(index.count('Frame'), 'failed', 'closed');
  });
});

describe('Weaviate: what its answers mean', () => {
  it.each<[string, VectorErrorKind, string?]>([
    ['new node has a vector with length 3. Existing nodes have vectors with length 2', 'bad_dimensions'],
    ['store is read-only due to: disk usage too high. Set to read-only at 91.00%, threshold set to 90.00%', 'full', 'READY'],
    ['store is read-only due to: memory usage too high', 'full'],
    ['write /data: no space left on device', 'full'],
    ['leader not found', 'backend_away'],
    ['explorer: list class: search: tried to browse non-existing index for Frame', 'backend_away'],
    ['something that nobody knows', 'failed'],
  ])('of an object: %s', async (said, kind, word = '') => {
    const { url } = await scripted(({ url }) => (url === '/v1/batch/objects' ? { body: [STORED, failed(said)] } : { body: FRAME }));
    const objects = [
      { id: 'good', vector: [1, 2], meta: {} },
      { id: 'odd', vector: [1, 2], meta: {} },
    ];
    await rejected(open(url).upsert('Frame', objects), kind, 'odd', said, word);
  });

  it.each<[string, number, VectorErrorKind]>([
    ['it has not opened yet', 200, 'backend_away'],
    ['is not there', 404, 'no_such_class'],
  ])('when something is deleted of a class that %s', async (_, status, kind) => {
    const message = 'could not delete object from vector repo: delete from non-existing index for Frame';
    const { url } = await scripted(({ method }) =>
      method === 'DELETE' ? { status: 500, body: { error: [{ message }] } } : { status, body: status === 200 ? FRAME : undefined },
    );
    await rejected(open(url).delete('Frame', 'a'), kind);
  });

  it('says how much of an upsert was stored when it broke off in the middle', async () => {
    let batches = 0;
    const { url } = await scripted(({ url }, body) => {
      if (url !== '/v1/batch/objects') return { body: FRAME };
      batches += 1;
      const objects = JSON.parse(body).objects as unknown[];
      return { body: objects.map(() => (batches < 4 ? STORED : failed('store is read-only due to: disk usage too high'))) };
    });
    const objects = Array.from({ length: 5000 }, (_, n) => ({ id: `id-${n}`, vector: [1, n + 1], meta: { n } }));
    await rejected(open(url).upsert('Frame', objects), 'full', 'at least 3000 of 5000', 'the same upsert again');
  });

  it('ends an upsert whose class somebody deletes in the middle, before Weaviate makes one by guess', async () => {
    let batches = 0;
    const { url } = await scripted(({ url }, body) => {
      if (url !== '/v1/batch/objects') return batches === 0 ? { body: FRAME } : { status: 404 };
      batches += 1;
      return { body: (JSON.parse(body).objects as unknown[]).map(() => STORED) };
    });
    const objects = Array.from({ length: 5000 }, (_, n) => ({ id: `id-${n}`, vector: [1, n + 1], meta: {} }));
    await rejected(open(url).upsert('Frame', objects), 'no_such_class', 'Frame');
    expect(batches).toBeLessThanOrEqual(2);
  });

  it('stores nothing where one of many objects is wrong', async () => {
    const { url, asked } = await scripted(() => ({ body: FRAME }));
    const objects = Array.from({ length: 5000 }, (_, n) => ({ id: `id-${n}`, vector: n === 4999 ? [1] : [1, 2], meta: {} }));
    await rejected(open(url).upsert('Frame', objects), 'bad_dimensions', 'id-4999');
    expect(asked).toEqual(['GET /v1/meta', 'GET /v1/schema/Frame']);
  });

  it('another node that makes the same class or property at the same moment is no error', async () => {
    let classes = 0;
    let reads = 0;
    const { url } = await scripted(({ url, method }) => {
      if (method === 'POST')
        return stated(url === '/v1/schema' ? 'class name Frame already exists' : 'conflict for property "m": already in use');
      if (url !== '/v1/schema/Frame') return { status: 404 };
      classes += 1;
      if (classes === 1) return { status: 404 };
      reads += 1;
      const added = reads > 2 ? [{ name: 'm', dataType: ['text'] }] : [];
      return { body: { ...FRAME, properties: [...FRAME.properties, ...added] } };
    });
    const index = open(url);
    await index.ensureClass({ name: 'Frame', properties: [] });
    await index.ensureProperties('Frame', [{ name: 'm', type: 'text' }]);
    await rejected(index.ensureProperties('Frame', [{ name: 'm', type: 'int' }]), 'incompatible');
  });

  it('a class whose name differs in small and capital letters only is in the way', async () => {
    const { url } = await scripted(({ method }) =>
      method === 'POST' ? stated('class already exists: found similar class "FRame"') : { status: 404 },
    );
    await rejected(open(url).ensureClass({ name: 'Frame', properties: [] }), 'bad_name', 'FRame');
  });

  it.each([
    ['tenants', { multiTenancyConfig: { enabled: true } }],
    ['several vectors', { vectorConfig: { a: {}, b: {} } }],
    ['l2-squared', { vectorIndexConfig: { distance: 'l2-squared' } }],
    ['dot', { vectorConfig: { a: { vectorIndexConfig: { distance: 'dot' } } } }],
    ['no vector index', { vectorIndexConfig: { skip: true } }],
  ])('a class that others made with %s is shown as unusable, and nothing is written to it', async (word, config) => {
    const { url, asked } = await scripted(({ url }) => ({
      body: url === '/v1/schema' ? { classes: [{ ...FRAME, ...config }] } : { ...FRAME, ...config },
    }));
    const index = open(url);
    expect((await index.readClasses(['Frame']))[0]?.unusable).toContain(word === 'tenants' ? 'tenant' : word);
    await rejected(index.upsert('Frame', [{ id: 'a', vector: [1, 2], meta: {} }]), 'incompatible', 'Frame');
    expect(asked.filter((line) => line.startsWith('POST'))).toEqual([]);
  });

  it('a schema of another form is named as such', async () => {
    const { url } = await scripted(() => ({ body: { classes: [{ name: 1 }] } }));
    await rejected(open(url).readClasses(['Frame']), 'failed', 'does not know');
  });

  it('keeps the property of ours for itself', async () => {
    const { url, asked } = await scripted(() => ({ body: FRAME }));
    const index = open(url);
    await rejected(index.ensureProperties('Frame', [{ name: 'bootplane_id', type: 'int' }]), 'bad_name');
    await rejected(index.ensureClass({ name: 'Frame', properties: [{ name: 'Bootplane_id', type: 'text' }] }), 'bad_name');
    await rejected(index.search('Frame', { vector: [1, 2], where: { bootplane_id: 'a' } }), 'bad_property');
    expect(asked.filter((line) => line.startsWith('POST'))).toEqual([]);
  });
});
