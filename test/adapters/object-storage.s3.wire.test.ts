import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { S3StorageOptions } from '../../runtime-node/adapters/storage-s3/index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { webServer } from './object-storage.s3.servers.ts';
import { hastyClock, openS3 } from './object-storage.s3.support.ts';

type Step = (request: IncomingMessage, response: ServerResponse) => void;

const says =
  (status: number, body = '', headers: Record<string, string> = {}): Step =>
  (_request, response) =>
    response.writeHead(status, { 'x-amz-request-id': 'x', ...headers }).end(body);
const error = (status: number, code: string) => says(status, `<Error><Code>${code}</Code><Message>m</Message></Error>`);
const stored = says(200, '', { etag: '"e"' });
const breaks: Step = (request) => request.socket.destroy();
const isAbsent = says(404);

/** A store that does what the script says, request by request; a look whether it is one is answered. */
async function scripted(script: readonly Step[], options: Partial<S3StorageOptions> = {}) {
  const seen: { method: string; url: string; body: string; headers: IncomingMessage['headers'] }[] = [];
  const left = [...script];
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      if (url.includes('max-keys=1')) return void response.end('<ListBucketResult/>');
      seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      (left.shift() ?? says(500))(request, response);
    });
  };
  const clock = hastyClock();
  const log = recordingLog();
  const keys = { access_key: 'a', secret_key: 'b' };
  const storage = openS3({ endpoint: `http://127.0.0.1:${await webServer(listener)}`, ...keys }, { clock, log, ...options });
  onTestFinished(() => storage.close());
  return { storage, seen, clock, log };
}

const bytes = (text: string) => Buffer.from(text);

test('asks again, with growing pauses, while the store asks for patience or breaks off', async () => {
  const { storage, seen, clock } = await scripted([error(503, 'SlowDown'), breaks, says(500), stored]);
  await storage.put('bucket', 'key', bytes('body'));
  expect(seen.map(({ body }) => body)).toEqual(['body', 'body', 'body', 'body']);
  expect(clock.pauses).toHaveLength(3);
  for (const [index, pause] of clock.pauses.entries()) {
    expect(pause).toBeGreaterThanOrEqual(50 * 2 ** index);
    expect(pause).toBeLessThanOrEqual(150 * 2 ** index);
  }
});

test('gives up after four attempts', async () => {
  const { storage, seen } = await scripted([breaks, breaks, breaks, breaks, stored]);
  await expect(storage.put('bucket', 'key', bytes('body'))).rejects.toMatchObject({ kind: 'backend_away' });
  expect(seen).toHaveLength(4);
});

test('waits as long as the store says, within reason', async () => {
  const { storage, clock } = await scripted([says(503, '', { 'retry-after': '2' }), says(503, '', { 'retry-after': '86400' }), stored]);
  await storage.put('bucket', 'key', bytes('body'));
  expect(clock.pauses).toEqual([2000, 5000]);
});

test('never repeats what is no use to repeat', async () => {
  for (const [status, code] of [
    [403, 'AccessDenied'],
    [400, 'InvalidRequest'],
    [501, 'NotImplemented'],
  ] as const) {
    const { storage, seen } = await scripted([error(status, code), stored]);
    await expect(storage.put('bucket', 'key', bytes('body'))).rejects.toThrow();
    expect(seen).toHaveLength(1);
  }
});

test('a delete without a version is not sent again when nobody knows whether it was done', async () => {
  const { storage, seen } = await scripted([says(500), says(204)]);
  await expect(storage.delete('bucket', 'key')).rejects.toMatchObject({ kind: 'backend_away' });
  expect(seen).toHaveLength(1);
});

test('a connection that the store closed while it was idle costs nothing', async () => {
  const closing: Step = (request, response) => {
    response.writeHead(204).end(() => setImmediate(() => request.socket.destroy()));
  };
  const { storage, seen } = await scripted([closing, says(204)]);
  await storage.delete('bucket', 'one');
  await storage.delete('bucket', 'two');
  expect(seen.map(({ url }) => url)).toEqual(['/bucket/one', '/bucket/two']);
});

test('an if_absent put whose answer got lost knows its own object', async () => {
  let id = '';
  const { storage } = await scripted([
    isAbsent,
    (request) => {
      id = String(request.headers['x-amz-meta-put-id']);
      request.socket.destroy();
    },
    error(412, 'PreconditionFailed'),
    (request, response) => says(200, '', { 'x-amz-meta-put-id': id, 'x-amz-version-id': 'null' })(request, response),
  ]);
  await expect(storage.put('bucket', 'key', bytes('body'), { if_absent: true })).resolves.toMatchObject({ size: 4 });
});

test('and does not take that of another for it', async () => {
  const others = says(200, '', {
    'x-amz-meta-put-id': 'of another',
    'x-amz-meta-sha256': createHash('sha256').update('body').digest('hex'),
  });
  const { storage } = await scripted([isAbsent, breaks, error(412, 'PreconditionFailed'), others]);
  await expect(storage.put('bucket', 'key', bytes('body'), { if_absent: true })).rejects.toMatchObject({ kind: 'already_exists' });
});

const SHA = createHash('sha256').update('0123456789').digest('hex');

test('a body that is not what was stored ends with corrupt, and its last bytes never leave', async () => {
  const wrong: Step = (_request, response) => {
    response.writeHead(200, { 'content-length': '10', 'x-amz-meta-sha256': SHA });
    response.write('01234');
    setImmediate(() => response.end('5678X'));
  };
  const { storage } = await scripted([wrong]);
  const { body } = await storage.get('bucket', 'key');
  let read = '';
  const reading = (async () => {
    for await (const chunk of body) read += Buffer.from(chunk).toString();
  })();
  await expect(reading).rejects.toMatchObject({ kind: 'corrupt', message: expect.stringContaining('store the object again') });
  expect(read.length).toBeLessThan(10);
});

test('a body that breaks off is an error, not a short object', async () => {
  const short: Step = (request, response) => {
    response.writeHead(200, { 'content-length': '10' });
    response.write('01234', () => request.socket.destroy());
  };
  const { storage } = await scripted([short]);
  const { body } = await storage.get('bucket', 'key');
  await expect(new Response(body as BodyInit).text()).rejects.toMatchObject({ kind: 'backend_away' });
});

test('an answer that does not say its length is no empty object', async () => {
  const compressed: Step = (_request, response) => {
    response.writeHead(200, { 'x-amz-request-id': 'x' });
    response.write('01234', () => response.end('56789'));
  };
  const { storage } = await scripted([compressed]);
  await expect(storage.get('bucket', 'key')).rejects.toThrow('does not say how long it is');
});

test('a refusal in the middle of a body is not taken for a broken connection', async () => {
  const { storage, seen } = await scripted([(request, response) => says(403, '<Error><Code>Acc')(request, response)]);
  await expect(storage.put('bucket', 'key', bytes('x'))).rejects.toMatchObject({ kind: 'unauthorized' });
  expect(seen).toHaveLength(1);
});

test('a body that stops coming is an error too', async () => {
  const { storage, clock } = await scripted([
    (_request, response) => void response.writeHead(200, { 'content-length': '10' }).write('01234'),
  ]);
  const reader = (await storage.get('bucket', 'key')).body.getReader();
  await reader.read();
  const stuck = reader.read();
  await nextTurn();
  clock.late();
  await expect(stuck).rejects.toMatchObject({ kind: 'backend_away', message: expect.stringContaining('nothing came for 30 s') });
});

test('the error of a store in an answer of 200 is an error', async () => {
  const upload = says(200, '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>');
  const late = says(200, '  <?xml version="1.0"?><Error><Code>InternalError</Code><Message>later</Message></Error>');
  const { storage, seen } = await scripted([upload, stored, stored, late, says(204)], { part_size: 5 * 1024 * 1024 });
  const body = new Blob([Buffer.alloc(6 * 1024 * 1024)]).stream();
  await expect(storage.put('bucket', 'key', body)).rejects.toMatchObject({ kind: 'backend_away' });
  expect(seen.at(-1)).toMatchObject({ method: 'DELETE', url: '/bucket/key?uploadId=u' });
});

test('a store without tags or versions says so from then on', async () => {
  const none = error(501, 'NotImplemented');
  const { storage } = await scripted([none, error(404, 'NoSuchLifecycleConfiguration'), none]);
  expect(storage.capabilities).toMatchObject({ versioning: true, tags: true });
  expect(await storage.readBuckets(['bucket'])).toEqual([{ name: 'bucket', versioning: 'off', lifecycle: [], tags: {} }]);
  expect(storage.capabilities).toMatchObject({ versioning: false, lifecycle: true, tags: false });
});

test('at most so many requests are under way, however many are wanted', async () => {
  let now = 0;
  let most = 0;
  const slow: Step = (request, response) => {
    now += 1;
    most = Math.max(most, now);
    setImmediate(() => {
      now -= 1;
      stored(request, response);
    });
  };
  const { storage } = await scripted(
    Array.from({ length: 100 }, () => slow),
    { concurrency: 5 },
  );
  await Promise.all(Array.from({ length: 100 }, (_, index) => storage.put('bucket', `key-${index}`, bytes('x'))));
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(5);
});

test('a bucket name that is no segment of a path reaches no server', async () => {
  const { storage, seen } = await scripted([]);
  for (const bucket of ['..', 'a/b', '', 'a?b', '.hidden'])
    await expect(storage.put(bucket, 'key', bytes('x'))).rejects.toMatchObject({ kind: 'no_such_bucket' });
  expect(await storage.readBuckets(['../x', ''])).toEqual([]);
  expect(seen).toEqual([]);
});

test('after close nothing is sent', async () => {
  const { storage, seen } = await scripted([stored]);
  await storage.close();
  await expect(storage.put('bucket', 'key', bytes('x'))).rejects.toThrow('is closed');
  expect(seen).toEqual([]);
});

test('removes a bucket that another is removing just then: it asks again until the store says that it is gone', async () => {
  const { storage, seen } = await scripted([
    error(404, 'NoSuchKey'),
    says(200, '<ListMultipartUploadsResult/>'),
    error(404, 'NoSuchKey'),
    error(404, 'NoSuchBucket'),
  ]);
  await storage.removeBucket('bucket', { if_empty: true });
  expect(seen.map(({ method }) => method)).toEqual(['GET', 'GET', 'DELETE', 'DELETE']);
});
