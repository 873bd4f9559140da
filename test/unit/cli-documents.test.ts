import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createArtifactClient } from '../../shared/artifact-client.ts';
import { PROBLEM_JSON, problem } from '../../shared/contract/problem.ts';
import { FLEET_KEY } from '../runtime/harness.ts';
import { run, type Site, startSite } from '../support/cli.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-documents-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const PROFILE = `storage:
  buckets:
    - name: captures
    - name: reports
`;

function refuse(detail: string): Response {
  return new Response(JSON.stringify(problem('unavailable', detail)), { status: 503, headers: { 'content-type': PROBLEM_JSON } });
}

describe('validate', () => {
  it('accepts the examples', async () => {
    const examples = new URL('../../docs/examples/', import.meta.url).pathname;
    expect((await run(['plan', 'validate', `${examples}plan.yaml`])).code).toBe(0);
    expect((await run(['profile', 'validate', `${examples}profile.yaml`])).code).toBe(0);
  });

  it('places each mistake by file, line, column and pointer', async () => {
    const path = await file(
      'bad.yaml',
      'services:\n  - name: api\n    version: 1.0.0\n    command: []\n  - name: "a b"\n    command: [x]\n',
    );
    const { code, out, err } = await run(['plan', 'validate', path]);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain(`${path}:4:5 /services/0/command must name a program`);
    expect(err).toContain(`${path}:5:11 /services/1/name must start with a letter or digit`);
    expect(err).toContain(`${path}:5:5 /services/1/version is missing (string)`);
  });

  it('says of a number where a text must be that it wants quotes', async () => {
    const path = await file('number.yaml', 'services:\n  - name: api\n    version: 1.10\n    command: [serve, true]\n');
    const { err } = await run(['plan', 'validate', path]);
    expect(err).toContain(`${path}:3:14 /services/0/version must be a text, and is read as a number: put it in quotes`);
    expect(err).toContain(`${path}:4:22 /services/0/command/1 must be a text, and is read as a boolean: put it in quotes`);
  });

  it('names keys that nobody knows, and those that publishing adds', async () => {
    const path = await file('unknown.yaml', 'storage:\n  buckets:\n    - name: captures\n      lifecyle: []\ngeneration: 3\n');
    const { code, err } = await run(['profile', 'validate', path]);
    expect(code).toBe(1);
    expect(err).toContain(`${path}:4:7 /storage/buckets/0/lifecyle is not known here`);
    expect(err).toContain(`${path}:5:13 /generation is added by publishing: leave it out`);
  });

  it.each([
    ['a broken flow', 'a: [\nb: 1', ':2:1 '],
    ['a key twice', 'services: []\nservices: []\n', ':2:1 '],
    ['two documents', 'services: []\n---\nservices: []\n', ':2:1 begins another document: the file has several, separated by ---'],
    ['a tag that is not known', 'services: !list []\n', ':1:11 '],
    ['a text instead of keys', 'hello\n', ':1:1 must hold a document'],
    ['nothing', '', ':1:1 must hold a document'],
    ['an alias that is not there', 'services: *nowhere\n', ':1:1 '],
    ['an alias inside of what it stands for', 'services: &a\n  - *a\n', ':2:5 the alias *a contains itself'],
    ['the same deeper down', 'services: &a\n  - env: &b\n      x: [*a]\n', ':3:11 the alias *a contains itself'],
  ])('refuses %s with its place', async (_, text, place) => {
    const path = await file('broken.yaml', text);
    const { code, err } = await run(['plan', 'validate', path]);
    expect(code).toBe(1);
    expect(err).toContain(`${path}${place}`);
  });

  it('refuses an alias bomb quickly', async () => {
    const levels = Array.from({ length: 12 }, (_, n) => `l${n + 1}: &l${n + 1} [${Array(9).fill(`*l${n}`).join(', ')}]`);
    const path = await file('bomb.yaml', `l0: &l0 [x]\n${levels.join('\n')}\n`);
    expect((await run(['plan', 'validate', path])).code).toBe(1);
  });

  it('reads JSON, indented with tabs, from standard input', async () => {
    const { code, err } = await run(['plan', 'validate', '-'], { stdin: '{\n\t"services": [],\n\t"extra": 1\n}' });
    expect(code).toBe(1);
    expect(err).toContain('<stdin>:3:11 /extra is not known here');
    expect((await run(['plan', 'validate', '-', '--json'], { stdin: '{"services": []}' })).out).toBe('{\n  "valid": true\n}\n');
  });

  it('says so when there is no such file', async () => {
    const { code, err } = await run(['plan', 'validate', 'nowhere.yaml']);
    expect(code).toBe(1);
    expect(err).toContain('nowhere.yaml does not exist');
  });
});

describe('with a Supervisor', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  it('diff exits with 2 for a difference and 0 for none', async () => {
    const path = await file('profile.yaml', PROFILE);
    const first = await site.run(['profile', 'diff', path]);
    expect(first).toMatchObject({ code: 2, err: '' });
    expect(first.out).toContain('+ storage');
    expect((await site.run(['profile', 'publish', path, '--yes'])).code).toBe(0);
    expect(await site.run(['profile', 'diff', path])).toMatchObject({ code: 0, out: 'the same as generation 1\n' });
  });

  it('diff names list items and says that nothing is deleted', async () => {
    await site.run(['profile', 'publish', await file('two.yaml', PROFILE), '--yes']);
    const { code, out } = await site.run(['profile', 'diff', await file('one.yaml', PROFILE.replace('    - name: captures\n', ''))]);
    expect(code).toBe(2);
    expect(out).toContain('- storage/buckets/captures');
    expect(out).not.toContain('reports');
    expect(out).toContain('Nothing is deleted by this');
  });

  it('diff --json is the answer of the dry run, and publishes nothing', async () => {
    const { code, out } = await site.run(['profile', 'diff', '-', '--json'], { stdin: PROFILE });
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ generation: 1, changed: true, dry_run: true });
    expect((await site.run(['profile', 'get'])).err).toContain('no_profile');
  });

  it('publish needs --yes where nobody can be asked', async () => {
    const path = await file('profile.yaml', PROFILE);
    const { code, out, err } = await site.run(['profile', 'publish', path]);
    expect(code).toBe(1);
    expect(out).toContain('+ storage');
    expect(err).toContain('nothing was published');
    expect(err).toContain('--yes');
    expect(site.asked.filter((call) => call === 'PUT /v1/bootstrap/profile')).toHaveLength(1);
  });

  it('publish asks on a terminal and takes no for an answer', async () => {
    const path = await file('profile.yaml', PROFILE);
    const questions: string[] = [];
    const answer = (text: string) => async (question: string) => {
      questions.push(question);
      return text;
    };
    expect((await site.run(['profile', 'publish', path], { ask: answer('') })).code).toBe(1);
    expect((await site.run(['profile', 'publish', path], { ask: answer('n') })).code).toBe(1);
    const done = await site.run(['profile', 'publish', path], { ask: answer('y') });
    expect(done.code).toBe(0);
    expect(done.out).toContain('published generation 1');
    expect(questions).toEqual(Array(3).fill('Publish this profile? [y/N] '));
  });

  it('publish refuses when another version came between the question and the answer', async () => {
    const path = await file('profile.yaml', PROFILE);
    const other = await file('other.yaml', 'vector: { classes: [{ name: Frame }] }\n');
    const { code, err } = await site.run(['profile', 'publish', path], {
      ask: async () => {
        await site.run(['profile', 'publish', other, '--yes']);
        return 'yes';
      },
    });
    expect(code).toBe(1);
    expect(err).toContain('generation_moved');
    expect(parse((await site.run(['profile', 'get'])).out)).toEqual({ vector: { classes: [{ name: 'Frame' }] } });
  });

  it('what the API says to its clients is said in words of the command line', async () => {
    const path = await file('profile.yaml', PROFILE);
    const moved = await site.run(['profile', 'publish', path], {
      ask: async () => {
        await site.run(['profile', 'publish', '-', '--yes'], { stdin: 'vector: { classes: [{ name: Frame }] }\n' });
        return 'yes';
      },
    });
    expect(moved.err).toMatch(/^error: the current profile is generation 1, not 0 \(generation_moved\)\n.*`history`/);
    const emptied = await site.run(['profile', 'publish', '-', '--yes'], { stdin: 'vector: { classes: [] }\n' });
    expect(emptied.err).toMatch(/^error: this profile would name no resource any more \(would_empty\)\n.*--allow-empty/);
    const missing = await site.run(['profile', 'rollback', '9', '--yes']);
    expect(missing.err).toMatch(/has no generation 9 \(no_such_generation\)\n`history`/);
    const unknown = await site.run(['keys', 'revoke', '1f0c2d3e4a5b6c7d']);
    expect(unknown.err).toContain('`bootplane keys list` shows those there are');
    for (const { err } of [moved, emptied, missing, unknown]) expect(err).not.toMatch(/If-Match|allow_empty|\/v1\//);
  });

  it('publish tells of an artifact that is not stored, once it is named anew', async () => {
    const bytes = new TextEncoder().encode('#!/bin/sh\n');
    const stored = createHash('sha256').update(bytes).digest('hex');
    const service = (name: string, sha256: string) =>
      `  - { name: ${name}, version: "1", command: [./a], artifact: { sha256: ${sha256}, path: a } }\n`;
    const plan = (...services: string[]) => file('artifacts.yaml', `services:\n${services.join('')}`);
    await createArtifactClient({ url: site.url, credential: FLEET_KEY }).put(stored, new Blob([bytes]).stream());
    const missing = 'a'.repeat(64);
    const services = [service('api', stored), service('web', missing), service('worker', missing)];
    const { code, out } = await site.run(['plan', 'publish', await plan(...services), '--yes']);
    expect(code).toBe(0);
    expect(out.match(/^The artifact .*$/gm)).toEqual([
      'The artifact aaaaaaaaaaaa is not stored here: web, worker wait until a node gives it, or for `bootplane artifact push FILE`.',
    ]);
    expect((await site.run(['plan', 'publish', await plan(...services.slice(1)), '--yes'])).out).not.toContain('artifact aaaaaaaaaaaa');
    const unsaid = 'b'.repeat(64);
    site.own.set(`HEAD /v1/artifacts/${unsaid}`, () => new Response(null, { status: 501 }));
    const last = await site.run(['plan', 'publish', await plan(service('api', unsaid)), '--yes']);
    expect([last.code, last.out]).toEqual([0, expect.not.stringContaining('The artifact')]);
  });

  it('publish of the same again does nothing', async () => {
    const path = await file('profile.yaml', PROFILE);
    await site.run(['profile', 'publish', path, '--yes']);
    expect((await site.run(['profile', 'publish', path])).out).toBe('nothing to publish: generation 1 says the same\n');
    expect(JSON.parse((await site.run(['profile', 'history', '--json'])).out).versions).toHaveLength(1);
  });

  it('a seed that is published as it is becomes a version of its own', async () => {
    await site.harness.supervisor.seed('default', 'profile', parse(PROFILE));
    const path = await file('profile.yaml', PROFILE);
    expect(await site.run(['profile', 'diff', path])).toMatchObject({ code: 0, out: 'the same as generation 0\n' });
    const { code, out } = await site.run(['profile', 'publish', path, '--yes']);
    expect(code).toBe(0);
    expect(out).toContain('the same as the seed file');
    expect(out).toContain('published generation 1');
  });

  it('an empty document needs --allow-empty', async () => {
    await site.run(['profile', 'publish', await file('profile.yaml', PROFILE), '--yes']);
    const empty = await file('empty.yaml', 'storage: {}\n');
    const refused = await site.run(['profile', 'publish', empty, '--yes']);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('would_empty');
    expect(refused.err).toContain('--allow-empty');
    expect((await site.run(['profile', 'publish', empty, '--yes', '--allow-empty'])).code).toBe(0);
  });

  it('get gives back what was published, so that it can be edited and published again', async () => {
    await site.run(['profile', 'publish', await file('profile.yaml', PROFILE), '--yes']);
    const { out } = await site.run(['profile', 'get']);
    expect(out).toMatch(/^# Environment Profile, generation 1, published .* by fleet-key\n/);
    expect(parse(out)).toEqual(parse(PROFILE));
    expect((await site.run(['profile', 'diff', '-'], { stdin: out })).code).toBe(0);
    expect(JSON.parse((await site.run(['profile', 'get', '--json'])).out)).toMatchObject({ generation: 1, signature: expect.any(String) });
  });

  it('history and rollback', async () => {
    await site.run(['profile', 'publish', await file('v1.yaml', PROFILE), '--yes']);
    await site.run(['profile', 'publish', await file('v2.yaml', `${PROFILE}    - name: added\n`), '--yes']);
    const back = await site.run(['profile', 'rollback', '1', '--yes']);
    expect(back.code).toBe(0);
    expect(back.out).toContain('published generation 3');
    expect(parse((await site.run(['profile', 'get'])).out)).toEqual(parse(PROFILE));
    expect(parse((await site.run(['profile', 'get', '--generation', '2'])).out).storage.buckets).toHaveLength(3);
    const history = (await site.run(['profile', 'history'])).out;
    expect(history.split('\n').filter((line) => /^[123] /.test(line))).toHaveLength(3);
    expect(history).toMatch(/^3 .*current$/m);
    expect((await site.run(['profile', 'rollback', '9', '--yes'])).err).toContain('no_such_generation');
  });

  it('the folder of the file takes the place of its variable', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what people write into the file
    const text = 'services:\n  - { name: hello, version: "1", command: [node, "${BOOTPLANE_FILE_DIR}/x.js", "${OTHER}"] }\n';
    await site.run(['plan', 'publish', await file('plan.yaml', text), '--yes']);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: what is not ours stays
    expect(parse((await site.run(['plan', 'get'])).out).services[0].command).toEqual(['node', `${folder}/x.js`, '${OTHER}']);
  });

  it.each([
    [
      'a node that heard nothing of its leader',
      () => refuse('no answer; the call may have been done or not: look before it is sent again'),
    ],
    ['an answer that broke off', () => new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('cut')) }))],
    ['a proxy that gave up', () => new Response('late', { status: 504 })],
  ])('publish says that it may have been done, and not that nothing was: %s', async (_, answer) => {
    site.own.set('PUT /v1/bootstrap/profile', (request: Request) =>
      request.url.includes('dry_run=true') ? site.harness.supervisor.fetch(request) : answer(),
    );
    const { code, err } = await site.run(['profile', 'publish', await file('profile.yaml', PROFILE), '--yes']);
    expect(code).not.toBe(0);
    expect(err).toContain('the call may have been done or not: look before it is sent again');
    expect(err).toContain('`bootplane profile history` shows whether it was published.');
    expect(err).not.toMatch(/nothing was published|try again|is the node up/i);
  });

  it('pointers of the Supervisor are shown as places of the file', async () => {
    const path = await file('profile.yaml', PROFILE);
    const refusal = problem('invalid_body', 'no', { errors: [{ pointer: '/storage/buckets/1/name', detail: 'is taken' }] });
    const answer = () => Response.json(refusal, { status: 400, headers: { 'content-type': PROBLEM_JSON } });
    site.own.set('PUT /v1/bootstrap/profile', answer);
    const { code, err } = await site.run(['profile', 'publish', path, '--yes']);
    expect(code).toBe(1);
    expect(err).toContain(`${path}:4:13 /storage/buckets/1/name is taken`);
  });
});

describe('with the leader of a site whose cloud is out of reach', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite({
      self: {
        ...{
          node_id: 'a',
          instance_id: 'boot-a',
          site: 'shop',
          documents_url: 'https://cloud.example',
          origins: () => [],
          hear: () => undefined,
        },
        ...{ provisional: () => true, confirmed: () => false, leadership: () => ({ leads: true, epoch_seen: 0, eligible: true }) },
      },
    });
    await site.harness.supervisor.seed('default', 'profile', parse(PROFILE));
  });
  afterEach(() => site.close());
  const CHANGED = PROFILE.replace('    - name: captures\n', '    - name: rescued\n');

  it('publish --break-glass says what it is, for whom, and how it ends; history and get name it', async () => {
    const path = await file('profile.yaml', CHANGED);
    const questions: string[] = [];
    const done = await site.run(['profile', 'publish', path, '--break-glass'], {
      ask: async (question) => {
        questions.push(question);
        return 'yes';
      },
    });
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(questions).toEqual(['Publish this profile for this site alone? [y/N] ']);
    for (const words of ['storage/buckets', 'emergency version 1 on generation 0, for the site shop alone', 'without --break-glass'])
      expect(done.out).toContain(words);
    expect(done.out).toContain('published emergency version 1 on generation 0');
    expect((await site.run(['profile', 'get'])).out).toMatch(
      /^# Environment Profile, emergency version 1 on generation 0 of the site shop, published .* by fleet-key\n/,
    );
    const history = (await site.run(['profile', 'history'])).out;
    expect(history).toMatch(/^0 e1 .*emergency version: the site shop follows it until a newer generation$/m);
    expect(history).toMatch(/^0 .*current$/m);
    expect((await site.run(['profile', 'publish', path, '--break-glass'])).out).toBe(
      'nothing to publish: emergency version 1 on generation 0 says the same\n',
    );
    expect((await site.run(['conflicts'])).out).toBe('no open conflicts\n');
  });

  it('publish says that nothing was published, and what there is instead, where the cloud does not even compare; diff does not', async () => {
    const path = await file('profile.yaml', CHANGED);
    const away = "the cloud decides about the documents, and can't be reached from this node";
    site.own.set('PUT /v1/bootstrap/profile', () => refuse(away));
    const published = await site.run(['profile', 'publish', path, '--yes']);
    expect(published).toMatchObject({
      code: 1,
      err: expect.stringMatching(/the cloud decides .*Nothing was published\. .* --break-glass/s),
    });
    expect(await site.run(['profile', 'publish', path, '--yes', '--break-glass'])).toMatchObject({
      code: 1,
      err: expect.not.stringContaining('--break-glass'),
    });
    expect((await site.run(['profile', 'diff', path])).err).not.toMatch(/published|break/);
  });

  it('diff --break-glass compares with what the site follows', async () => {
    const path = await file('profile.yaml', CHANGED);
    expect((await site.run(['profile', 'diff', path, '--break-glass'])).code).toBe(2);
    await site.run(['profile', 'publish', path, '--break-glass', '--yes']);
    expect(await site.run(['profile', 'diff', path, '--break-glass'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('the same as'),
    });
  });

  it('publish --break-glass replaces what was shown, and nothing that came between', async () => {
    const path = await file('profile.yaml', CHANGED);
    const other = await file('other.yaml', 'vector: { classes: [{ name: Frame }] }\n');
    const { code, err } = await site.run(['profile', 'publish', path, '--break-glass'], {
      ask: async () => {
        await site.run(['profile', 'publish', other, '--break-glass', '--yes']);
        return 'yes';
      },
    });
    expect([code, err]).toEqual([1, expect.stringContaining('generation_moved')]);
    expect(parse((await site.run(['profile', 'get'])).out)).toEqual({ vector: { classes: [{ name: 'Frame' }] } });
  });

  it('publish for the fleet shows what it changes for the fleet, and that it ends the emergency version', async () => {
    await site.run(['profile', 'publish', await file('rescue.yaml', CHANGED), '--break-glass', '--yes']);
    // As the cloud answers, through the node.
    const changes = [{ pointer: '/storage/buckets/2', after: { name: 'added' } }];
    site.own.set('PUT /v1/bootstrap/profile', { generation: 1, hash: 'a'.repeat(64), changed: true, dry_run: false, changes });
    const done = await site.run(['profile', 'publish', await file('added.yaml', `${PROFILE}    - name: added\n`), '--yes']);
    expect(done).toMatchObject({ code: 0, out: expect.stringContaining('+ storage/buckets/added') });
    expect(done.out).toContain('This ends emergency version 1 on generation 0, which the site shop follows now.');
    expect(done.out).toContain('published generation 1');
  });
});
