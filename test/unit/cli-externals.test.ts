import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Finding } from '../../runtime-node/commands/doctor-finding.ts';
import { listen } from '../../runtime-node/http-server.ts';
import { type Ran, run, type Site, startSite } from '../support/cli.ts';

const HEALTH = {
  status: 'degraded',
  node_id: 'node-1',
  adapters: { storage: 's3', broker: 'rabbitmq', vector: 'embedded' },
  components: {},
  backlog: {
    storage: { presence: 'away', reason: 'nothing listens there', waiting: 12, forwarded: 3, conflicts: 0 },
    broker: { presence: 'forwarding', waiting: 7, forwarded: 100, conflicts: 2 },
  },
  waiting_for: ['storage: s3 at http://192.0.2.9:9000 is away (nothing listens there): 12 objects wait on this node'],
};

describe('with a node that has externals', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
    site.own.set('GET /healthz', HEALTH);
  });
  afterEach(() => site.close());

  it('status shows each on a line, with what waits', async () => {
    const { out } = await site.run(['status']);
    expect(out).toMatch(/^EXTERNAL +PRESENCE +WAITING +FORWARDED +CONFLICTS +REASON$/m);
    expect(out).toMatch(/^storage \(s3\) +away +12 +3 +0 +nothing listens there$/m);
    expect(out).toMatch(/^broker \(rabbitmq\) +forwarding +7 +100 +2 *$/m);
    expect(out).not.toMatch(/^vector \(embedded\)/m);
  });

  it('doctor says what the node found, and what to do', async () => {
    const ran = await site.run(['doctor', '--json']);
    const found = findings(ran);
    expect(found['storage (s3)']).toMatchObject({ status: 'fail', detail: expect.stringContaining('nothing listens there') });
    expect(found['broker (rabbitmq)']).toMatchObject({ status: 'warn', detail: expect.stringContaining('2 in conflict') });
    expect(ran.code).toBe(1);
    const storage = {
      status: 'failed',
      action: 'reconcile',
      generation: 1,
      hash: '0'.repeat(64),
      attempt: 1,
      duration_ms: 1,
      incompatible: [],
      at: '2026-01-01T00:00:00.000Z',
      message: 'the access key is not known there',
    };
    const present = { presence: 'present', waiting: 0, forwarded: 3, conflicts: 0 };
    site.own.set('GET /healthz', { ...HEALTH, components: { storage }, backlog: { storage: present, broker: present } });
    const next = findings(await site.run(['doctor', '--json']));
    expect(next['storage (s3)']).toMatchObject({ status: 'fail', detail: expect.stringContaining('the access key is not known') });
    expect(next['broker (rabbitmq)']).toMatchObject({ status: 'ok', detail: expect.stringContaining('3 gone over') });
    const refusing = { ...present, presence: 'forwarding', reason: 'the password is wrong' };
    site.own.set('GET /healthz', { ...HEALTH, backlog: { broker: refusing } });
    const last = findings(await site.run(['doctor', '--json']));
    expect(last['broker (rabbitmq)']).toMatchObject({ status: 'fail', detail: expect.stringContaining('the password is wrong') });
  });
});

describe('doctor without a node', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-doctor-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const doctor = (env: Record<string, string>) =>
    run(['doctor', '--json', '--data-dir', folder, '--host', '127.0.0.1', '--port', '0'], { env });

  it('dials what is configured, and shows no secret', async () => {
    const asked: (string | null)[] = [];
    const web = await listen(
      async (request) => {
        asked.push(`${new URL(request.url).pathname} ${request.headers.get('authorization')}`);
        return new Response('', { status: request.url.endsWith('whoami') ? 401 : 403 });
      },
      '127.0.0.1',
      0,
    );
    onTestFinished(() => web.close());
    const broker = createServer();
    await new Promise<void>((done) => void broker.listen(0, '127.0.0.1', done));
    onTestFinished(() => void broker.close());
    const address = broker.address();
    const origin = `http://127.0.0.1:${web.port}`;
    const ran = await doctor({
      ...{ MINIO_ENDPOINT: origin, MINIO_ACCESS_KEY: 'a', MINIO_SECRET_KEY: 'a secret phrase' },
      ...{ WEAVIATE_URL: origin, WEAVIATE_API_KEY: 'a hidden key', RABBITMQ_MANAGEMENT_URL: origin },
      AMQP_URL: `amqp://me:hidden@127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    });
    expect(findings(ran)).toMatchObject({
      'storage (s3)': { status: 'ok' },
      'broker (rabbitmq)': { status: 'ok' },
      'management of RabbitMQ': { status: 'fail', detail: expect.stringContaining('refuses the user') },
      'vector (weaviate)': { status: 'fail', detail: expect.stringContaining('refuses the key') },
    });
    expect(asked).toEqual(expect.arrayContaining(['/v1/meta Bearer a hidden key', `/api/whoami Basic ${btoa('me:hidden')}`]));
    for (const secret of ['a secret phrase', 'hidden', 'a hidden key']) expect(ran.out).not.toContain(secret);
  });

  it('says which of them are not reached', async () => {
    const gone = 'http://127.0.0.1:1';
    const keys = { MINIO_ACCESS_KEY: 'a', MINIO_SECRET_KEY: 'b' };
    const ran = await doctor({ MINIO_ENDPOINT: gone, ...keys, WEAVIATE_URL: gone, AMQP_URL: 'amqp://me:hidden@127.0.0.1:1' });
    const found = findings(ran);
    for (const name of ['storage (s3)', 'broker (rabbitmq)', 'vector (weaviate)'])
      expect(found[name]).toMatchObject({
        status: 'fail',
        detail: expect.stringContaining('is not reached'),
        advice: expect.stringContaining('keeps what is written'),
      });
    expect(ran.out).not.toContain('hidden');
  });

  it('says nothing where none is configured', async () => {
    expect(Object.keys(findings(await doctor({}))).filter((name) => /^(storage|broker|vector|management)/.test(name))).toEqual([]);
  });
});

function findings({ out }: Ran): Record<string, Finding> {
  const { checks }: { checks: Finding[] } = JSON.parse(out);
  return Object.fromEntries(checks.map((check) => [check.name, check]));
}
