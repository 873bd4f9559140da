import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withDeadline } from '../../runtime-node/commands/connect.ts';
import { createClient } from '../../shared/client.ts';
import { makeDataDir, run, type Site, startSite } from '../support/cli.ts';
import { freePort } from '../support/free-port.ts';

const COMMANDS = ['up', 'join', 'leave', 'status', 'why', 'nodes', 'events', 'logs', 'plan', 'profile', 'diff', 'reconcile', 'doctor'];

describe('help', () => {
  it('without a command lists them and the exit codes', async () => {
    const { code, out, err } = await run([]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const name of COMMANDS) expect(out).toMatch(new RegExp(`^  ${name} `, 'm'));
    expect(out).toContain('Exit codes:');
    expect(await run(['--help'])).toEqual({ code: 0, out, err });
  });

  it.each(COMMANDS)('of %s has examples', async (name) => {
    const { code, out } = await run([name, '--help']);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: bootplane ${name}`);
    expect(out).toMatch(/Examples:\n {2}bootplane/);
  });

  it.each(['get', 'validate', 'diff', 'publish', 'history', 'rollback'])('of plan %s has examples', async (name) => {
    const { code, out } = await run(['plan', name, '--help']);
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`Examples:\n {2}bootplane plan ${name}`));
  });

  it('of up names every setting that has a variable', async () => {
    const { out } = await run(['up', '--help']);
    for (const name of [
      'BOOTPLANE_DATA_DIR',
      'BOOTPLANE_LEAD=off',
      'BOOTPLANE_API_KEY',
      'MINIO_ENDPOINT',
      'AMQP_URL',
      '--no-mdns',
      '--log',
    ]) {
      expect(out).toContain(name);
    }
  });

  it('prints the version', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, out: '1.2.3\n', err: '' });
  });
});

describe('a wrong command line exits with 64', () => {
  it.each([
    [['statu'], 'Did you mean status?'],
    [['status', '--jsn'], 'Did you mean --json?'],
    [['status', 'extra'], 'too many arguments'],
    [['plan', 'validate'], 'missing required argument'],
    [['plan', 'rollback', 'last'], 'whole number'],
    [['events', '-n', '-3'], 'whole number'],
    [['events', '--after', 'junk'], 'the cursor of an event'],
    [['nodes', '--liveness', 'foo'], 'some of online, late, lost, left'],
    [['nodes', '--in-site', 'a b'], 'must start with a letter or digit'],
    [['join', 'abc'], 'at least 20 are needed'],
    [['up', '--plan', '/nowhere/plan.yaml'], '--plan (BOOTPLANE_PLAN): /nowhere/plan.yaml does not exist'],
    [['reconcile'], '--dry-run'],
    [['status', '--url', 'nowhere'], '--url is "nowhere"'],
  ])('%j', async (argv, said) => {
    const { code, out, err } = await run(argv, { env: { HOME: '/nonexistent' } });
    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain(said);
  });

  it('and so does a setting that does not exist', async () => {
    const { code, err } = await run(['status'], { env: { BOOTPLANE_DATADIR: '/x' } });
    expect(code).toBe(64);
    expect(err).toContain('did you mean BOOTPLANE_DATA_DIR?');
  });
});

describe('finding the node', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-connect-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('says that none runs, and how to start one, with exit code 69', async () => {
    const { code, err } = await run(['status', '--data-dir', folder]);
    expect(code).toBe(69);
    expect(err).toContain(`no node runs on ${folder}`);
    expect(err).toContain('bootplane up');
  });

  it('tells a node that is gone from one that never was', async () => {
    const gone = 2 ** 22 + 1; // above the largest pid of Linux
    await writeFile(join(folder, 'listen.json'), JSON.stringify({ url: 'http://127.0.0.1:1', pid: gone }));
    const { code, err } = await run(['status', '--data-dir', folder]);
    expect(code).toBe(69);
    expect(err).toContain(`process ${gone}, which listened at http://127.0.0.1:1, is gone`);
  });

  it.each([
    ['no listen.json', undefined],
    ['the listen.json of a node before it', JSON.stringify({ url: 'http://127.0.0.1:1', pid: 2 ** 22 + 1 })],
  ])('does not say that none runs where a process holds the directory: %s', async (_, text) => {
    await writeFile(join(folder, 'holder.json'), JSON.stringify({ pid: process.pid, started_at: '2026-01-01T00:00:00.000Z' }));
    if (text !== undefined) await writeFile(join(folder, 'listen.json'), text);
    const { code, err } = await run(['status', '--data-dir', folder]);
    expect(code).toBe(69);
    expect(err).not.toContain('no node runs');
    expect(err).toContain(`process ${process.pid} holds ${folder}, and listen.json there does not say where it listens`);
    expect(err).toMatch(/disk full.*--url URL/s);
  });

  it('says what was tried when the address does not answer', async () => {
    const port = await freePort();
    await writeFile(join(folder, 'listen.json'), JSON.stringify({ url: `http://127.0.0.1:${port}`, pid: process.pid }));
    await writeFile(join(folder, 'fleet.key'), 'a key that is long enough\n');
    const { code, err } = await run(['status', '--data-dir', folder]);
    expect(code).toBe(69);
    expect(err).toContain(`http://127.0.0.1:${port} does not answer`);
    expect(err).toContain('bootplane doctor');
  });

  it('says of an answer that does not come in time how long it waited', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    const client = createClient({ url, fetch: withDeadline(new AbortController().signal, 50) });
    const error = await client.state().catch((reason: unknown) => reason);
    server.close();
    expect(error).toMatchObject({ message: `${url} does not answer: no answer within 0.05 s`, isOfChange: false });
    expect(await client.leave('n').catch((reason: unknown) => reason)).toMatchObject({ isOfChange: true });
  });

  it.each(['', '{', '{"url": "nowhere", "pid": 1}', '{"url": "http://127.0.0.1:1"}', 'null'])(
    'does not trust a damaged listen.json: %s',
    async (text) => {
      await writeFile(join(folder, 'listen.json'), text);
      const { code, err } = await run(['status', '--data-dir', folder]);
      expect(code).toBe(69);
      expect(err).toContain(`${join(folder, 'listen.json')} does not say where the node listens`);
    },
  );

  it('takes an empty key file for none', async () => {
    await writeFile(join(folder, 'fleet.key'), '\n');
    expect((await run(['nodes', '--data-dir', folder, '--url', 'http://127.0.0.1:1'])).err).toContain('no credential');
  });

  it('says so when the key file can not be read', async () => {
    await mkdir(join(folder, 'fleet.key'));
    const { code, err } = await run(['nodes', '--data-dir', folder, '--url', 'http://127.0.0.1:1']);
    expect(code).toBe(1);
    expect(err).toContain(`${join(folder, 'fleet.key')} can't be read`);
  });

  it.each(['https://127.0.0.1:1', 'http://127.0.0.1:1', 'http://127.9.9.9:1', 'http://localhost:1', 'http://[::1]:1'])(
    'dials %s',
    async (url) => {
      const { code, err } = await run(['nodes', '--url', url], { env: { BOOTPLANE_API_KEY: 'a key that is long enough' } });
      expect({ code, err }).toEqual({ code: 69, err: expect.stringContaining('does not answer') });
    },
  );

  it('needs a credential', async () => {
    const { code, err } = await run(['status', '--data-dir', folder, '--url', 'http://127.0.0.1:1']);
    expect(code).toBe(64);
    expect(err).toContain('BOOTPLANE_API_KEY');
    expect(err).toContain('fleet.key');
  });

  it('never sends a credential in plain text to another machine', async () => {
    const env = { BOOTPLANE_API_KEY: 'a key that is long enough' };
    const { code, err } = await run(['status', '--url', 'http://192.0.2.1:7420'], { env });
    expect(code).toBe(64);
    expect(err).toContain('plain http to another machine');
    expect((await run(['status', '--url', 'http://localhost.example'], { env })).err).toContain('plain http to another machine');
  });

  it('says so when something else than bootplane answers', async () => {
    const server = createServer((socket) => void socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const { code, err } = await run(['nodes', '--url', `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`], {
      env: { BOOTPLANE_API_KEY: 'a key that is long enough' },
    });
    server.close();
    expect(code).toBe(1);
    expect(err).toContain('is this the right address?');
  });
});

describe('with a Supervisor', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  it('a key of another fleet is refused with what to do', async () => {
    const { code, err } = await site.run(['nodes'], { env: { BOOTPLANE_API_KEY: 'the key of quite another fleet' } });
    expect(code).toBe(1);
    expect(err).toContain('unauthenticated');
    expect(err).toContain('fleet.key');
  });

  it('a URL wins over the data directory', async () => {
    const other = await makeDataDir('http://127.0.0.1:1');
    const { code } = await run(['nodes', '--url', site.url], { env: { BOOTPLANE_DATA_DIR: other.dir } });
    await other.remove();
    expect(code).toBe(0);
  });

  it('shows a person what is waited for, and takes it away again', async () => {
    const seen = Promise.withResolvers<void>();
    site.own.set('GET /healthz', async () => {
      await seen.promise;
      return Response.json({ status: 'ok' });
    });
    const terminal = site.run(['status'], { terminal: true, onError: (err) => err.includes('asking the node') && seen.resolve() });
    expect((await terminal).err).toMatch(/asking the node\r +\r$/);
    expect((await site.run(['status'])).err).toBe('');
  });

  it('colours are for a terminal only, and not with NO_COLOR', async () => {
    site.own.set('GET /healthz', { status: 'ok' });
    const colour = '\u001b[';
    expect((await site.run(['status'])).out).not.toContain(colour);
    expect((await site.run(['status'], { terminal: true })).out).toContain(colour);
    expect((await site.run(['status'], { terminal: true, env: { NO_COLOR: '1' } })).out).not.toContain(colour);
  });
});
