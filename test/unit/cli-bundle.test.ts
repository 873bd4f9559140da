import { readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signDocument, toWire } from '../../shared/contract/document.ts';
import { call } from '../runtime/harness.ts';
import { sha256, tarOf } from '../support/archives.ts';
import { type Site, startSite } from '../support/cli.ts';

const program = Uint8Array.from({ length: 1_000_000 }, (_, index) => index % 251);
const artifact = { sha256: sha256(program), path: 'tool' };

let site: Site;
beforeEach(async () => {
  site = await startSite();
  await writeFile(join(site.dir, 'tool'), program);
});
afterEach(() => site.close());

const run = (...argv: string[]) => site.run(argv, { cwd: site.dir });

/** A plan with one service that has an artifact, and that artifact. */
async function publish(): Promise<void> {
  expect(await run('artifact', 'push', 'tool')).toMatchObject({ code: 0, err: '' });
  const body = { services: [{ name: 'api', version: '1', command: ['./tool'], artifact }] };
  await call(site.harness, 'PUT /v1/cluster/plan', { body, headers: { 'if-match': '"0"' } });
}

const bundles = async () => (await readdir(site.dir)).filter((name) => name.includes('.bundle'));

describe('bootplane bundle export', () => {
  beforeEach(publish);

  it('writes a file that only its owner reads: plans may hold passwords', async () => {
    expect(await run('bundle', 'export', 'site.bundle')).toMatchObject({ code: 0, err: '' });
    expect((await stat(join(site.dir, 'site.bundle'))).mode & 0o777).toBe(0o600);
    expect(await bundles()).toEqual(['site.bundle']);
  });

  it('says that there is no such folder', async () => {
    const { code, err } = await run('bundle', 'export', 'missing/site.bundle');
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("missing/site.bundle can't be written: ENOENT") });
  });

  it.skipIf(process.platform !== 'linux')('says that the disk is full, and leaves nothing', async () => {
    await symlink('/dev/full', join(site.dir, 'site.bundle.partial'));
    const { code, err } = await run('bundle', 'export', 'site.bundle');
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("site.bundle can't be written: ENOSPC") });
    expect(await bundles()).toEqual([]);
  });

  it.each([
    ['short', program.subarray(0, 600_000)],
    ['other', new Uint8Array(program.length)],
    ['long', new Uint8Array(program.length + 1000)],
  ])('leaves nothing when an artifact comes as %s bytes', async (_name, bytes) => {
    site.own.set(`GET /v1/artifacts/${artifact.sha256}`, () => new Response(bytes));
    expect(await run('bundle', 'export', 'site.bundle')).toMatchObject({
      code: 1,
      err: expect.stringContaining('did not come as it should'),
    });
    expect(await bundles()).toEqual([]);
  });
});

describe('bootplane bundle import', () => {
  beforeEach(publish);

  it.each([
    ['in an artifact', (whole: Buffer) => whole.subarray(0, 500_000)],
    ['in the manifest', (whole: Buffer) => whole.subarray(0, 700)],
    ['between two entries', (whole: Buffer) => whole.subarray(0, 1024)],
  ])('refuses a file that was cut off %s, in words', async (_where, cut) => {
    await run('bundle', 'export', 'site.bundle');
    await writeFile(join(site.dir, 'cut.bundle'), cut(await readFile(join(site.dir, 'site.bundle'))));
    const { code, err } = await run('bundle', 'import', 'cut.bundle');
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringMatching(/^error: the bundle can't be used: .*nothing was changed/) });
  });

  it.each(['/dev/zero', '.'])('takes no %s for a bundle', async (path) => {
    expect(await run('bundle', 'import', path)).toMatchObject({ code: 1, err: expect.stringContaining(`${path} is no file`) });
  });
});

/** A bundle whose profile is fine, and whose plan comes from a version of bootplane that knows more. */
async function laterBundle(): Promise<Buffer> {
  const meta = { generation: 7, epoch: 1, published_by: 'ann', published_at: '2026-01-01T00:00:00.000Z' };
  const texts = new Map<string, string>();
  for (const [kind, body] of [
    ['plan', { services: 'as the label says' }],
    ['profile', { storage: { buckets: [{ name: 'frames' }] } }],
  ] as const) {
    const document = await signDocument(site.harness.keys.documents, { kind, fleet: 'default', body, meta });
    const { generation, hash } = document.meta;
    texts.set(kind, JSON.stringify({ versions: [toWire(document)], current: { generation, hash } }));
  }
  const listed = { name: `artifacts/${artifact.sha256}`, sha256: artifact.sha256, size: program.length };
  const documents = Array.from(texts, ([kind, text]) => {
    return { kind, name: `${kind}.json`, sha256: sha256(Buffer.from(text)), size: text.length };
  });
  const about = { fleet: 'default', created_at: meta.published_at, version: '9.0.0' };
  const manifest = JSON.stringify({ format: 'bootplane-bundle/1', ...about, documents, artifacts: [listed] });
  return tarOf([
    { name: 'bundle.json', body: manifest },
    ...Array.from(texts, ([kind, body]) => ({ name: `${kind}.json`, body })),
    { name: listed.name, body: Buffer.from(program) },
  ]);
}

it('imports nothing of a bundle with a document that this version of bootplane can not use', async () => {
  await writeFile(join(site.dir, 'later.bundle'), await laterBundle());
  const { code, err } = await run('bundle', 'import', 'later.bundle');
  expect({ code, err }).toMatchObject({
    code: 1,
    err: expect.stringContaining('generation 7 of the plan in the bundle is not valid for this'),
  });
  expect((await call(site.harness, 'GET /v1/bootstrap/profile')).status).toBe(404);
  expect((await call(site.harness, 'GET /v1/artifacts')).body.artifacts).toEqual([]);
});

describe('bootplane artifact push', () => {
  it('takes no device for an artifact', async () => {
    expect(await run('artifact', 'push', '/dev/zero')).toMatchObject({ code: 1, err: expect.stringContaining('/dev/zero is no file') });
  });
});
