import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { S3StorageOptions } from '../../runtime-node/adapters/storage-s3/index.ts';
import type { StorageErrorKind } from '../../shared/ports/object-storage.ts';
import { freePort } from '../support/free-port.ts';
import { rawServer, webServer } from './object-storage.s3.servers.ts';
import { CEPH, CONFIGURED, hastyClock, openS3, type Store, titled } from './object-storage.s3.support.ts';

const KEYS = { access_key: 'an-access-key', secret_key: 'never to be shown' };

const documentFor = (url = '') => (url.includes('?location') ? '<LocationConstraint/>' : '<ListBucketResult/>');

/** The first thing that a node asks of a store, and what it says when that fails. */
async function failureAt(endpoint: string, options: Partial<S3StorageOptions> = {}) {
  const storage = openS3({ endpoint, ...KEYS }, { clock: hastyClock(), ...options });
  onTestFinished(() => storage.close());
  const error = await storage.ensureBucket('some-bucket').then(
    () => undefined,
    (thrown: Error & { kind: StorageErrorKind }) => thrown,
  );
  expect(error?.message).toMatch(/^could not make bucket some-bucket: /);
  expect(error?.message).not.toContain(options.secret_key ?? KEYS.secret_key);
  return { kind: error?.kind, message: error?.message.slice('could not make bucket some-bucket: '.length) };
}

const xmlError = (code: string, more = '') => `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message>${more}</Error>`;

describe('an endpoint that can not be meant', () => {
  test.each([
    ['127.0.0.1:9000', 'http:// or https:// in front of 127.0.0.1:9000'],
    ['s3://bucket', 'MINIO_ENDPOINT is a URL such as'],
    ['', 'MINIO_ENDPOINT is a URL such as'],
    ['http://user:hunter2@host:9000', 'use MINIO_ACCESS_KEY and MINIO_SECRET_KEY'],
    ['http://host:9000/bucket', 'take /bucket off'],
  ])('%j is refused with words', (endpoint, words) => {
    const open = () => openS3({ endpoint, ...KEYS });
    expect(open).toThrow(words);
    expect(open).not.toThrow('hunter2');
  });

  test('a host name that is none', () => {
    expect(() => openS3({ endpoint: 'http://x_:9000', ...KEYS })).toThrow("the object storage at http://x_:9000 can't be used");
  });

  test('keys are needed', () => {
    expect(() => openS3({ endpoint: 'http://host', access_key: '', secret_key: '' })).toThrow('set MINIO_ACCESS_KEY and MINIO_SECRET_KEY');
  });

  test('the identity is the origin and nothing else', () => {
    expect(openS3({ endpoint: 'https://S3.Example:443/', ...KEYS }).backend).toEqual({ kind: 's3', identity: 'https://s3.example' });
  });
});

describe('a wrong server', () => {
  test('nothing listens', async () => {
    const port = await freePort();
    const { kind, message } = await failureAt(`http://127.0.0.1:${port}`);
    expect(kind).toBe('backend_away');
    expect(message).toContain(`nothing listens at 127.0.0.1 port ${port}: start the store, or set MINIO_ENDPOINT`);
  });

  test('a name that nobody knows', async () => {
    expect((await failureAt('http://no-such-host.invalid')).message).toMatch(
      /the host name no-such-host.invalid is not known here|name service/,
    );
  });

  test('an AMQP broker', async () => {
    const port = await rawServer((socket) => void socket.once('data', () => socket.end(Buffer.from('AMQP\0\0\x09\x01', 'latin1'))));
    const { kind, message } = await failureAt(`http://127.0.0.1:${port}`);
    expect(kind).toBe('failed');
    expect(message).toBe(`an AMQP broker (RabbitMQ?) listens at 127.0.0.1 port ${port}, no S3 store: set MINIO_ENDPOINT`);
  });

  test('one that speaks no HTTP', async () => {
    const port = await rawServer((socket) => void socket.once('data', () => socket.end('hello there\r\n')));
    expect((await failureAt(`http://127.0.0.1:${port}`)).message).toContain('speaks no HTTP');
  });

  test('one that hangs up', async () => {
    const port = await rawServer((socket) => void socket.once('data', () => socket.destroy()));
    expect(await failureAt(`http://127.0.0.1:${port}`)).toMatchObject({
      kind: 'backend_away',
      message: expect.stringContaining('the connection to'),
    });
  });

  test('one that never answers', async () => {
    const clock = hastyClock();
    const port = await rawServer((socket) => void socket.on('data', () => clock.late()));
    expect(await failureAt(`http://127.0.0.1:${port}`, { clock })).toEqual({
      kind: 'backend_away',
      message: `http://127.0.0.1:${port}: no answer within 30 s`,
    });
  });

  test.each([
    [
      'a plain web server',
      200,
      'text/html',
      '<!doctype html><title>Welcome to nginx!</title>',
      'is no S3 store (HTTP status 200, content of type text/html',
    ],
    ['a web server without the page', 404, 'text/html', '<html><body>Not Found</body></html>', 'is no S3 store (HTTP status 404'],
    [
      'an API',
      404,
      'application/json',
      '{"error":"Object Not Found"}',
      'is no S3 store (HTTP status 404, content of type application/json',
    ],
    [
      "MinIO's console",
      200,
      'text/html',
      '<html><title>MinIO Console</title></html>',
      'the S3 interface has a port of its own, mostly 9000',
    ],
    ['an XHTML page', 200, 'text/html', '<html><body/></html>', 'is no S3 store'],
    ['TLS wanted', 400, 'text/plain', 'Client sent an HTTP request to an HTTPS server.\n', 'it wants TLS: set MINIO_ENDPOINT to https://'],
  ])('%s', async (_, status, type, body, words) => {
    const port = await webServer((_request, response) => response.writeHead(status, { 'content-type': type }).end(body));
    const { kind, message } = await failureAt(`http://127.0.0.1:${port}`);
    expect(kind).toBe('failed');
    expect(message).toContain(words);
  });

  test('a proxy whose store is away', async () => {
    const port = await webServer((_request, response) =>
      response.writeHead(502, { 'content-type': 'text/html' }).end('<html>Bad Gateway</html>'),
    );
    const { kind, message } = await failureAt(`http://127.0.0.1:${port}`);
    expect(kind).toBe('backend_away');
    expect(message).toContain('something in front of the store');
  });
});

describe('TLS', () => {
  let folder: string;
  let pair: { key: string; cert: string };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-s3-tls-'));
    const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')];
    const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    await promisify(execFile)('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      ...files,
      ...name,
    ]);
    pair = { key: await readFile(join(folder, 'key.pem'), 'utf8'), cert: await readFile(join(folder, 'cert.pem'), 'utf8') };
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const s3OverTls = () => webServer((request, response) => response.end(documentFor(request.url)), pair);

  test('a certificate of an authority of its own is accepted with `ca`', async () => {
    const port = await s3OverTls();
    const storage = openS3({ endpoint: `https://localhost:${port}`, ...KEYS }, { ca: pair.cert });
    onTestFinished(() => storage.close());
    await storage.ensureBucket('some-bucket');
  });

  test('and refused without', async () => {
    const { kind, message } = await failureAt(`https://localhost:${await s3OverTls()}`);
    expect(kind).toBe('unauthorized');
    expect(message).toContain('is not accepted: nobody that is trusted here signed it');
  });

  test('a certificate for another name', async () => {
    const { message } = await failureAt(`https://127.0.0.1:${await s3OverTls()}`, { ca: pair.cert });
    expect(message).toContain('it is not for 127.0.0.1');
  });

  test('TLS to a server without', async () => {
    const port = await webServer((_request, response) => response.end('plain'));
    expect((await failureAt(`https://127.0.0.1:${port}`)).message).toContain(
      `does not speak TLS: set MINIO_ENDPOINT to http://127.0.0.1:${port}`,
    );
  });

  test('plain HTTP to a server with TLS', async () => {
    expect((await failureAt(`http://127.0.0.1:${await s3OverTls()}`)).kind).toMatch(/failed|backend_away/);
  });
});

describe('regions', () => {
  /** A store that takes one region only, as AWS and a MinIO with MINIO_SITE_REGION do. */
  const regional = (region: string) =>
    webServer((request, response) => {
      const scope = request.headers.authorization?.match(/Credential=[^/]+\/\d+\/([^/]+)\//)?.[1];
      // MinIO tells where a bucket is to whoever asks, and an answer to HEAD has no words.
      if (scope === region || request.url?.includes('?location')) return void response.end(documentFor(request.url));
      if (request.method === 'HEAD') return void response.writeHead(400).end();
      response.writeHead(400).end(xmlError('AuthorizationHeaderMalformed', `<Region>${region}</Region>`));
    });

  test('a region that is not configured is found out', async () => {
    const storage = openS3({ endpoint: `http://127.0.0.1:${await regional('eu-south-9')}`, ...KEYS });
    onTestFinished(() => storage.close());
    await storage.ensureBucket('some-bucket');
    expect(await storage.presignRead('other-bucket', 'key', 60)).toContain('eu-south-9');
    const other = openS3({ endpoint: `http://127.0.0.1:${await regional('eu-south-9')}`, ...KEYS });
    onTestFinished(() => other.close());
    await other.delete('some-bucket', 'key');
  });

  test('one that is configured otherwise is said', async () => {
    const port = await regional('eu-south-9');
    const { kind, message } = await failureAt(`http://127.0.0.1:${port}`, { region: 'moon-1' });
    expect(kind).toBe('unauthorized');
    expect(message).toContain('in the region eu-south-9, and the configured region is moon-1: set MINIO_REGION=eu-south-9');
  });
});

for (const kind of [CEPH, CONFIGURED]) {
  describe.skipIf(kind.missing !== undefined)(`what a real store refuses: ${titled(kind)}`, () => {
    let store: Store;
    beforeAll(async () => {
      store = await kind.start();
    });
    afterAll(() => store?.stop());

    test('an access key that it does not know', async () => {
      const failure = await failureAt(store.endpoint, { access_key: 'nobody', secret_key: store.secret_key });
      expect(failure).toMatchObject({
        kind: 'unauthorized',
        message: expect.stringContaining('does not know the access key: set MINIO_ACCESS_KEY'),
      });
    });

    test('a wrong secret key', async () => {
      const failure = await failureAt(store.endpoint, { access_key: store.access_key, secret_key: 'wrong' });
      expect(failure).toMatchObject({ kind: 'unauthorized', message: expect.stringContaining('set MINIO_SECRET_KEY') });
    });

    test('a clock that is an hour wrong', async () => {
      const clock = { ...hastyClock(), now: () => Date.now() + 3_600_000 };
      const failure = await failureAt(store.endpoint, { access_key: store.access_key, secret_key: store.secret_key, clock });
      expect(failure.kind).toBe('unauthorized');
      expect(failure.message).toMatch(
        /the clock of this machine is (59|60|61) minutes ahead of that of http.*set the clock of the one that is wrong \(NTP\)/,
      );
    });
  });
}
