import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { createStateFiles } from '../../runtime-node/adapters/state-files.ts';
import type { Config } from '../../runtime-node/config.ts';
import { withRetiredKeys } from '../../runtime-node/document-keys.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { type RunOptions, run } from '../support/cli.ts';
import { recordingLog } from '../support/recording-log.ts';
import { systemClock } from '../support/system-clock.ts';

const KEY = `bpk_${'a'.repeat(43)}`;
const OTHER = `bpk_${'b'.repeat(43)}`;

let folder: string;
let dir: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-join-'));
  dir = join(folder, 'state');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Runs with a node that notes its settings and ends at once. */
function joining() {
  const configs: Config[] = [];
  const options: RunOptions = {
    startNode: async (config) => {
      configs.push(config);
      const nothing = async () => undefined;
      return { url: 'http://n', stopped: Promise.resolve(0), stop: nothing, leave: nothing, kill: () => undefined };
    },
  };
  return { configs, options };
}

const joinWith = (argv: readonly string[], options: RunOptions = {}) => run(['join', ...argv, '--data-dir', dir], options);
const keyIn = async () => (await readFile(join(dir, 'fleet.key'), 'utf8')).trim();
const published = (generation: number) => JSON.stringify({ line: 'x', document: { generation }, answer: {} });

describe('join', () => {
  it('writes the key for its user alone and runs the node with the settings of up', async () => {
    const { configs, options } = joining();
    const ran = await joinWith([KEY, '--fleet', 'shops', '--site', 'lab', '--port', '0', '--no-lead'], options);
    expect(ran.code).toBe(0);
    expect(await keyIn()).toBe(KEY);
    expect((await stat(join(dir, 'fleet.key'))).mode & 0o777).toBe(0o600);
    expect(configs).toMatchObject([{ data_dir: dir, fleet: 'shops', site: 'lab', port: 0, lead: false }]);
    expect(ran.out).toContain(`bootplane up --data-dir ${dir} --fleet shops --site lab --port 0 --no-lead\n`);
    expect(ran.out + ran.err).not.toContain(KEY);
  });

  it.each(['member.json', 'member.copy.json'])(
    'gives no fleet key to a node that was to have none, by its %s, also a damaged one',
    async (name) => {
      await mkdir(dir);
      await writeFile(join(dir, name), '{');
      for (const more of [[], ['--replace']]) {
        const ran = await joinWith([KEY, '--no-start', ...more]);
        expect(ran.code).not.toBe(0);
        expect(ran.err).toContain('of a node that has joined without the fleet key: nothing was changed');
      }
      expect(existsSync(join(dir, 'fleet.key'))).toBe(false);
    },
  );

  it('tells a command that a shell reads as it was given', async () => {
    dir = join(folder, "the owner's state");
    const { out } = await joinWith([KEY, '--no-start', '--capabilities', 'gpu, scanner', '--site', 'lab']);
    const quoted = `'${folder}/the owner'\\''s state'`;
    expect(out).toContain(`start it with: bootplane up --data-dir ${quoted} --site lab --capabilities 'gpu, scanner'\n`);
  });

  const LONG = 'a key of our own, from before'.replaceAll(' ', '-');
  it.each([
    ['a word after it', [KEY, 'shops']],
    ['a word before it', ['shops', KEY]],
    ['a word after one that looks like no key', [LONG, 'shops']],
    ['a flag that there is not', [`--key=${KEY}`]],
    ['a flag that there is not, with such a key', [`--key=${LONG}`]],
    ['a flag of another command', [KEY, '--quiet']],
  ])('never prints the key: %s', async (_what, argv) => {
    const { configs, options } = joining();
    const { code, out, err } = await joinWith(argv, options);
    expect(code).toBe(64);
    expect(out + err).not.toContain(KEY);
    expect(out + err).not.toContain(LONG);
    expect(err).toMatch(/too many arguments|unknown option/);
    expect([configs, existsSync(dir)]).toEqual([[], false]);
  });

  it('reads the key from standard input, and starts nothing when told so', async () => {
    const { configs, options } = joining();
    expect((await joinWith(['-', '--no-start'], { ...options, stdin: `${KEY}\n` })).code).toBe(0);
    expect(await keyIn()).toBe(KEY);
    expect(configs).toEqual([]);
  });

  it('a second time with the same key changes nothing', async () => {
    await joinWith([KEY, '--no-start']);
    const { mtimeMs } = await stat(join(dir, 'fleet.key'));
    const again = await joinWith([KEY, '--no-start']);
    expect(again).toMatchObject({ code: 0, out: expect.stringContaining('already') });
    expect((await stat(join(dir, 'fleet.key'))).mtimeMs).toBe(mtimeMs);
  });

  it.each([
    ['too short', 'at least 20'],
    [KEY.slice(0, -1), 'instead of 47'],
    [`${KEY}${KEY}`, 'instead of 47'],
    ['words with blanks in between them', 'blanks'],
    [`bpi~default~1f0c2d3e4a5b6c7d~${'a'.repeat(43)}`, 'neither is named'],
  ])('refuses %j', async (key, why) => {
    const ran = await joinWith(['-', '--no-start'], { stdin: key });
    expect(ran.code).toBe(64);
    expect(ran.err).toContain(why);
    expect(ran.err).not.toContain(key);
    expect(existsSync(dir)).toBe(false);
  });

  it('does not overwrite another key, and says what can be done', async () => {
    await joinWith([OTHER, '--no-start']);
    const ran = await joinWith([KEY, '--no-start']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringMatching(/another fleet: nothing was changed.*--replace.*--data-dir/) });
    expect(await keyIn()).toBe(OTHER);
  });

  it('replaces it when told so, and keeps what belonged to the other fleet', async () => {
    await joinWith([OTHER, '--no-start']);
    await writeFile(join(dir, 'plan.json'), published(0));
    await writeFile(join(dir, 'node.json'), '{"node_id":"node-1"}');
    const ran = await joinWith([KEY, '--no-start', '--replace']);
    expect(ran.code).toBe(0);
    expect(await keyIn()).toBe(KEY);
    const names = await readdir(dir);
    const kept = names.find((name) => name.startsWith('fleet.key.replaced-')) ?? expect.fail();
    expect((await readFile(join(dir, kept), 'utf8')).trim()).toBe(OTHER);
    expect((await stat(join(dir, kept))).mode & 0o777).toBe(0o600);
    expect(names).toContain('node.json');
    expect(names).not.toContain('plan.json');
    expect(ran.out).toMatch(/ {2}plan\.json\.replaced-/);
  });

  it.each(['plan', 'profile'])('never where a published %s would become useless', async (kind) => {
    await joinWith([OTHER, '--no-start']);
    await writeFile(join(dir, `${kind}.json`), published(3));
    const ran = await joinWith([KEY, '--no-start', '--replace']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining(`its ${kind} of generation 3`) });
    expect(await keyIn()).toBe(OTHER);
    expect(await readdir(dir)).toContain(`${kind}.json`);
  });

  it('nor where only the database holds it', async () => {
    await joinWith([OTHER, '--no-start']);
    const database = openSqlite({ path: join(dir, 'supervisor.sqlite'), clock: systemClock, migrations: readMigrations('migrations') });
    const sql = "insert into desired (fleet, kind, generation, hash) values ('default', 'plan', 2, 'h')";
    await database.batch([{ sql, params: [] }]);
    await database.close();
    expect((await joinWith([KEY, '--no-start', '--replace'])).err).toContain('its plan of generation 2');
    expect(await keyIn()).toBe(OTHER);
  });

  it('changes nothing while a node runs on the directory', async () => {
    await joinWith([OTHER, '--no-start']);
    await writeFile(join(dir, 'listen.json'), JSON.stringify({ url: 'http://127.0.0.1:1', pid: process.pid }));
    const ran = await joinWith([KEY, '--no-start', '--replace']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('bootplane leave') });
    expect(await keyIn()).toBe(OTHER);
  });

  it('refuses a variable that would win over the key', async () => {
    const ran = await joinWith([KEY, '--no-start'], { env: { BOOTPLANE_API_KEY: OTHER } });
    expect(ran).toMatchObject({ code: 64, err: expect.stringContaining('BOOTPLANE_API_KEY') });
    expect(existsSync(dir)).toBe(false);
  });
});

describe('join with a new key of the same fleet', () => {
  const NEXT = `bpk~shops~${'n'.repeat(43)}`;
  const OLD = `bpk~shops~${'o'.repeat(43)}`;
  const publicKeyOf = async (key: string) => (await deriveFleetKeys('shops', key)).documents.public_key;
  const noted = async () => JSON.parse(await readFile(join(dir, 'document-keys.json'), 'utf8'));
  const holdOld = async (key: string) => {
    await joinWith(['-', '--no-start', '--fleet', 'shops'], { stdin: key });
    await writeFile(join(dir, 'cluster.json'), JSON.stringify({ fleet: 'shops', site: 'lab' }));
    await writeFile(join(dir, 'plan.json'), published(3));
  };

  it.each([
    ['whose old key names it too', OLD],
    ['whose old key was given and names nothing', 'a-key-that-the-shops-have-had-for-years'],
  ])('--replace takes it for a directory %s, and keeps what is published and the key of before', async (_what, old) => {
    await holdOld(old);
    const { configs, options } = joining();
    const ran = await joinWith(['-', '--replace'], { ...options, stdin: `${NEXT}\n` });
    expect(ran).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/has the new key of the fleet shops.*start the node again as it was/s),
    });
    expect(await keyIn()).toBe(NEXT);
    expect(await readFile(join(dir, 'plan.json'), 'utf8')).toBe(published(3));
    expect(await noted()).toEqual({ fleet: 'shops', current: await publicKeyOf(NEXT), retired: [await publicKeyOf(old)] });
    const kept = (await readdir(dir)).find((name) => name.startsWith('fleet.key.replaced-')) ?? expect.fail();
    expect((await readFile(join(dir, kept), 'utf8')).trim()).toBe(old);
    // It is started with the flags that it had, which only its own start knows.
    expect(configs).toEqual([]);
  });

  it('asks for --replace, and says what stays', async () => {
    await holdOld(OLD);
    const ran = await joinWith(['-'], { stdin: NEXT });
    expect(ran).toMatchObject({ code: 1, err: expect.stringMatching(/another key of the fleet shops: nothing was changed.*--replace/) });
    expect(await keyIn()).toBe(OLD);
  });

  it('a key that names no fleet needs --same-fleet', async () => {
    await holdOld(OLD);
    expect((await joinWith(['-', '--replace'], { stdin: KEY })).err).toContain('say so with --same-fleet');
    expect(await joinWith(['-', '--same-fleet'], { stdin: KEY })).toMatchObject({ code: 0 });
    expect((await noted()).retired).toEqual([await publicKeyOf(OLD)]);
  });

  it('notes a key that came in a variable, once the node has run with both', async () => {
    await mkdir(dir, { recursive: true });
    const files = createStateFiles({ folder: dir, clock: systemClock });
    const deps = { files, log: recordingLog() };
    for (const key of [OLD, KEY]) await withRetiredKeys(deps, await deriveFleetKeys('shops', key), key);
    await files.idle();
    expect((await noted()).retired).toEqual([]);
    const ran = await joinWith(['-', '--same-fleet'], { stdin: KEY, env: { BOOTPLANE_API_KEY: KEY } });
    expect(ran).toMatchObject({ code: 0 });
    expect((await noted()).retired).toEqual([await publicKeyOf(OLD)]);
  });

  it('refuses the key of another fleet, and a directory that is of none', async () => {
    expect((await joinWith(['-', '--same-fleet'], { stdin: NEXT })).err).toContain('is of no fleet yet');
    await holdOld(OLD);
    const other = await joinWith(['-', '--same-fleet'], { stdin: `bpk~bars~${'n'.repeat(43)}` });
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining('is of the fleet bars') });
    expect(await keyIn()).toBe(OLD);
  });
});

describe('join with a key that names its fleet', () => {
  const NAMED = `bpk~shops~${'n'.repeat(43)}`;

  it('starts the node in that fleet', async () => {
    const { configs, options } = joining();
    const ran = await joinWith(['-'], { ...options, stdin: NAMED });
    expect(ran).toMatchObject({ code: 0, out: expect.stringContaining('--fleet shops\n') });
    expect(configs).toMatchObject([{ fleet: 'shops' }]);
  });

  it.each([
    ['by a flag', ['--fleet', 'bars'], {}],
    ['by a variable', [], { BOOTPLANE_FLEET: 'bars' }],
  ])('refuses another fleet that is named %s, before anything is written', async (_how, argv, env) => {
    const ran = await joinWith(['-', ...argv], { stdin: NAMED, env });
    expect(ran).toMatchObject({ code: 64, err: expect.stringContaining('the key is of the fleet shops, and this node is set to bars') });
    expect(existsSync(dir)).toBe(false);
  });
});

describe('key show', () => {
  const show = (argv: readonly string[] = [], options: RunOptions = {}) => run(['key', 'show', ...argv, '--data-dir', dir], options);
  beforeEach(() => joinWith([KEY, '--no-start']));

  it('prints the key and the command that adds a machine, and warns a person', async () => {
    const { code, out, err } = await show([], { terminal: true });
    expect(code).toBe(0);
    expect(out).toContain(`bootplane join ${KEY}\n`);
    expect(out).toContain('bootplane key show --quiet | ssh MACHINE bootplane join - --no-start');
    expect(err).toContain('owns the fleet');
    expect((await show()).err).toBe('');
  });

  it('--quiet prints what join reads, and --json says all', async () => {
    const { out } = await show(['--quiet']);
    expect(out).toBe(`${KEY}\n`);
    expect(JSON.parse((await show(['--json'])).out)).toEqual({
      key: KEY,
      fleet: 'default',
      site: 'default',
      join: `bootplane join ${KEY}`,
    });
  });

  it('tells the names of fleet and site under which the node ran', async () => {
    await writeFile(join(dir, 'cluster.json'), JSON.stringify({ fleet: 'shops', site: 'lab' }));
    expect((await show()).out).toContain(`bootplane join ${KEY} --fleet shops --site lab\n`);
    expect((await show(['--site', 'other'])).out).toContain('--fleet shops --site other');
  });

  it('the key that is set wins, and without one it says where it looked', async () => {
    expect((await show(['--quiet'], { env: { BOOTPLANE_API_KEY: OTHER } })).out).toBe(`${OTHER}\n`);
    await rm(join(dir, 'fleet.key'));
    expect(await show()).toMatchObject({ code: 64, out: '', err: expect.stringContaining(join(dir, 'fleet.key')) });
  });
});
