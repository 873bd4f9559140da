import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PROBLEM_JSON, problem } from '../../shared/contract/problem.ts';
import { run, type Site, startSite } from '../support/cli.ts';

const PATH = '/v1/reconcile/diff';
const PROFILE = 'storage: { buckets: [{ name: captures }] }\n';
const PLAN = 'services: []\n';
const ADDS = {
  components: [
    { component: 'storage', backend: 's3', actions: [{ kind: 'ensure-bucket', safety: 'add', subject: 'bucket captures' }] },
    { component: 'broker', backend: 'rabbitmq', actions: [], failed: 'the broker is away' },
    { component: 'vector', backend: 'embedded', actions: [] },
  ],
};

let folder: string;
let site: Site;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-diff-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  site = await startSite();
});
afterEach(() => site.close());

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const refusal =
  (...args: Parameters<typeof problem>) =>
  () =>
    new Response(JSON.stringify(problem(...args)), { status: problem(...args).status, headers: { 'content-type': PROBLEM_JSON } });

/** Bodies that were sent, answered with a diff. */
function listening(answer: object = ADDS): unknown[] {
  const sent: unknown[] = [];
  site.own.set(`POST ${PATH}`, async (request: Request) => {
    sent.push(await request.json());
    return Response.json(answer);
  });
  return sent;
}

describe('diff', () => {
  it('without a file is what reconcile --dry-run shows', async () => {
    site.own.set(`GET ${PATH}`, ADDS);
    const both = [await site.run(['diff']), await site.run(['reconcile', '--dry-run'])];
    expect(both[0]).toEqual(both[1]);
    expect(both[0]?.code).toBe(1);
    expect(JSON.parse((await site.run(['diff', '--json'])).out)).toEqual(ADDS);
  });

  it('sends a file as what it is, and shows what the node would do with it', async () => {
    const sent = listening({ components: ADDS.components.slice(0, 1) });
    const profile = await site.run(['diff', await file('profile.yaml', PROFILE)]);
    expect(profile).toEqual({ code: 2, err: '', out: 'storage (s3):\n  add  bucket captures  ensure-bucket\n' });
    await site.run(['diff', '-'], { stdin: '{"services": [], "ttl_seconds": 5}' });
    expect(sent).toEqual([{ profile: { storage: { buckets: [{ name: 'captures' }] } } }, { plan: { services: [], ttl_seconds: 5 } }]);
  });

  it.each([
    ['neither', 'colour: red\n', ':1:1 is neither'],
    ['both', 'services: []\nvector: { classes: [] }\n', ':1:1 must be one of the two'],
    ['not valid', 'services: [{ name: api }]\n', '/services/0/command is missing'],
  ])('refuses a file that is %s, without asking anybody', async (_, text, said) => {
    const { code, err } = await site.run(['diff', await file('bad.yaml', text)]);
    expect(code).toBe(1);
    expect(err).toContain(said);
    expect(site.asked).toEqual([]);
  });

  it('places what the node refuses in the file', async () => {
    const errors = [{ pointer: '/profile/storage/buckets', detail: 'are too many' }];
    site.own.set(`POST ${PATH}`, refusal('invalid_body', 'profile: too many', { errors }));
    const path = await file('profile.yaml', PROFILE);
    const { code, err } = await site.run(['diff', path]);
    expect(code).toBe(1);
    expect(err).toContain(`${path}:1:12 /storage/buckets are too many`);
  });

  it('says what is skipped and what to do, and what the embedded default would become', async () => {
    site.own.set(`GET ${PATH}`, {
      components: [
        {
          component: 'broker',
          backend: 'rabbitmq',
          actions: [
            { kind: 'alter-queue', safety: 'incompatible', subject: 'queue frames', detail: 'delete it and it is made anew' },
            { kind: 'suspend-versioning', safety: 'destroy', subject: 'bucket old' },
          ],
          embedded: { backend: 'local', actions: [{ kind: 'ensure-queue', safety: 'add', subject: 'queue frames' }] },
        },
        { component: 'services', backend: 'processes', actions: [], undecided: ['api'] },
      ],
    });
    const { code, out } = await site.run(['diff']);
    expect(code).toBe(2);
    expect(out).toBe(`broker (rabbitmq):
  incompatible  queue frames  alter-queue
      skipped: delete it and it is made anew
  destroy  bucket old  suspend-versioning
      skipped: it would remove data or shorten its life
broker, while that is away (local):
  add  queue frames  ensure-queue
services (processes): nothing to do
  service api: whether it runs here is for the leader of the site to tell; ask that node
`);
  });

  it('says so where there is no node', async () => {
    const { code, err } = await site.run(['diff', await file('profile.yaml', PROFILE)]);
    expect(code).toBe(1);
    expect(err).toContain('it may be a cloud, or a node of another version');
  });
});

describe('publish', () => {
  it.each([
    ['profile', PROFILE, { profile: { storage: { buckets: [{ name: 'captures' }] } } }],
    ['plan', PLAN, { plan: { services: [] } }],
  ])('of a %s shows what the node would do before it asks, and nothing is published by that', async (kind, text, body) => {
    const sent = listening();
    const path = await file(`${kind}.yaml`, text);
    let shown = '';
    const { code } = await site.run([kind, 'publish', path], {
      ask: async () => 'n',
      onOutput: (out) => {
        shown = out;
      },
    });
    expect(code).toBe(1);
    expect(sent).toEqual([body]);
    expect(shown).toContain(`What the node at ${site.url} would then do:\nstorage (s3):\n  add  bucket captures  ensure-bucket\n`);
    expect(shown).toContain("broker (rabbitmq): its actual state can't be read: the broker is away\n");
    expect((await site.run([kind, 'get'])).err).toContain(`no_${kind}`);
  });

  it('goes on where a backend can not be read', async () => {
    listening();
    expect((await site.run(['profile', 'publish', await file('p.yaml', PROFILE), '--yes'])).out).toContain('published generation 1');
  });

  it.each([
    ['has no such call', undefined, 'is no node, or one of an earlier version'],
    ['knows only what is published', refusal('method_not_allowed', 'GET it'), 'is no node, or one of an earlier version'],
    ['is too busy', refusal('unavailable', 'the disk is full'), 'could not be read: the disk is full'],
    ['does not answer in time', () => Promise.reject(new Error('gone')), 'could not be read: '],
  ])('says so in one line and goes on where the control plane %s', async (_, answer, said) => {
    if (answer !== undefined) site.own.set(`POST ${PATH}`, answer);
    const { code, out } = await site.run(['profile', 'publish', await file('p.yaml', PROFILE), '--yes']);
    expect(code).toBe(0);
    expect(out.split('\n').filter((line) => line.includes('would then do') || line.includes('nodes would then'))).toEqual([
      expect.stringContaining(said),
    ]);
    expect(out).toContain('published generation 1');
  });

  it('--json has it beside the answer', async () => {
    listening();
    const { out } = await site.run(['profile', 'publish', await file('p.yaml', PROFILE), '--yes', '--json']);
    expect(JSON.parse(out)).toMatchObject({ generation: 1, changed: true, reconcile: ADDS });
  });

  it('asks no node about a document that changes nothing', async () => {
    const path = await file('p.yaml', PROFILE);
    await site.run(['profile', 'publish', path, '--yes']);
    const sent = listening();
    expect((await site.run(['profile', 'publish', path, '--yes'])).out).toContain('nothing to publish');
    expect(sent).toEqual([]);
  });
});

it('help names the files that it takes', async () => {
  expect((await run(['diff', '--help'])).out).toContain('bootplane diff profile.yaml');
});
