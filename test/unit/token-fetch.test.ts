import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { watchedFile } from '../../runtime-node/adapters/watched-file.ts';
import { createTokenFetch } from '../../runtime-node/token-fetch.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { carriesJwt, isJwt } from '../../shared/contract/jwt.ts';
import { refuseExposed } from '../../shared/supervisor/tokens/exposed.ts';

const TOKEN = 'eyJhbGciOiJFZERTQSJ9.e30.AAAA';

async function sent(url: string, { insecure_http = false, as = 'own' }: { insecure_http?: boolean; as?: string } = {}) {
  const keys = await deriveFleetKeys('default', 'a fleet key that is only for tests');
  const own = await keys.nodeCredential('a');
  const seen: (string | null)[] = [];
  const fetch = createTokenFetch(
    async (request) => {
      seen.push(request.headers.get('authorization'));
      return new Response();
    },
    { fleet: 'default', node_id: 'a', token: { current: async () => TOKEN }, insecure_http },
  );
  const credential = as === 'own' ? own : as;
  await fetch(
    new Request(url, { method: 'POST', body: '{}', ...(as === '' ? {} : { headers: { authorization: `Bearer ${credential}` } }) }),
  );
  return seen[0] === `Bearer ${own}` ? 'own' : seen[0];
}

describe("a node's JWT", () => {
  it.each([
    ['https://cloud.example.com/v1/nodes/register', `Bearer ${TOKEN}`],
    ['http://127.0.0.1:7420/v1/nodes/register', `Bearer ${TOKEN}`],
    ['http://[::1]:7420/v1/nodes/register', `Bearer ${TOKEN}`],
    ['http://192.0.2.7:7420/v1/nodes/register', 'own'],
    ['http://127.0.0.1.example.com/v1/nodes/register', 'own'],
    ['http://localhost.example.com/v1/nodes/register', 'own'],
  ])('goes only where nobody else can read it: %s', async (url, credential) => {
    expect(await sent(url)).toBe(credential);
  });

  it('goes over plain http where that is asked for', async () => {
    expect(await sent('http://192.0.2.7:7420/v1/nodes', { insecure_http: true })).toBe(`Bearer ${TOKEN}`);
  });

  it('stands for no other credential, and for none', async () => {
    const other = (await deriveFleetKeys('default', 'a fleet key that is only for tests')).nodeCredential('ab');
    for (const as of [await other, 'bpn~other~a~x', 'a fleet key', '']) {
      expect(await sent('https://cloud.example.com/', { as })).toBe(as === '' ? null : `Bearer ${as}`);
    }
  });
});

describe('a JWT over plain http from another machine', () => {
  const request = (headers: Record<string, string>) => new Request('http://192.0.2.7:7420/v1/nodes', { headers });

  it.each([
    { authorization: `Bearer ${TOKEN}` },
    { authorization: `bearer  ${TOKEN}` },
    { 'x-api-key': TOKEN },
    { 'x-api-key': `Bearer ${TOKEN}` },
    { authorization: 'Basic eyJh', 'x-api-key': TOKEN },
  ])('is refused, however it is written: %j', async (headers) => {
    const response = refuseExposed(request(headers));
    expect(response?.status).toBe(403);
    expect(await response?.json()).toMatchObject({ code: 'forbidden', detail: expect.stringContaining('send it over https') });
  });

  it('is told from other credentials', () => {
    expect(refuseExposed(request({}))).toBeUndefined();
    expect(refuseExposed(request({ authorization: 'Bearer bpn~default~a~eyJh' }))).toBeUndefined();
    expect(carriesJwt(new Headers({ authorization: 'Bearer my.fleet.key' }))).toBe(false);
    expect(['eyJh.eyJ.', 'ewog.eyJ.AA', 'eyJh.eyJ', 'eyJh.e.e.e.e', 'a.b.c', 'eyJh.a b.c'].map(isJwt)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('a file that somebody else replaces', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-token-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('has another version when it was replaced, also by a link as Kubernetes does', async () => {
    const path = join(folder, 'token');
    await writeFile(join(folder, 'one'), 'one');
    await writeFile(join(folder, 'two'), 'two');
    await symlink(join(folder, 'one'), path);
    const file = watchedFile(path);
    const before = await file.version();
    expect([await file.read(), await file.version()]).toEqual(['one', before]);
    await symlink(join(folder, 'two'), join(folder, 'next'));
    await rename(join(folder, 'next'), path);
    expect([await file.version()]).not.toEqual([before]);
    expect(await file.read()).toBe('two');
  });

  it('says what is wrong with it', async () => {
    await expect(watchedFile(join(folder, 'none')).version()).rejects.toThrow('is not there');
    await expect(watchedFile(folder).read()).rejects.toThrow("can't be read (EISDIR");
    await writeFile(join(folder, 'large'), 'x'.repeat(300_000));
    await expect(watchedFile(join(folder, 'large')).version()).rejects.toThrow('has more than 262144 bytes');
  });
});
