import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createStateFiles } from '../../runtime-node/adapters/state-files.ts';
import { StateFilesError } from '../../shared/ports/state-files.ts';

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);
const ADAPTER = new URL('../../runtime-node/adapters/state-files.ts', import.meta.url).href;

let parent = '';
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'state-files-'));
});
afterEach(() => rmSync(parent, { recursive: true }));
const folder = () => join(parent, 'data');
const files = () => createStateFiles({ folder: folder(), clock: { now: () => NOW } });

describe('state files', () => {
  test('give back what was written, and undefined for what was not', async () => {
    expect(await files().read('cluster.json')).toBeUndefined();
    await files().write('cluster.json', '{"a":"ü🙂"}');
    expect(await files().read('cluster.json')).toBe('{"a":"ü🙂"}');
    await files().write('cluster.json', '');
    expect(await files().read('cluster.json')).toBe('');
  });

  test('belong to their user alone', async () => {
    await files().write('node.json', 'x');
    expect((await stat(folder())).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder(), 'node.json'))).mode & 0o777).toBe(0o600);
    await writeFile(join(folder(), '.node.json.tmp'), 'left by a crash', { mode: 0o644 });
    await files().write('node.json', 'y');
    expect((await stat(join(folder(), 'node.json'))).mode & 0o777).toBe(0o600);
    expect(await readdir(folder())).toEqual(['node.json']);
  });

  test('the last of many concurrent writes wins and none is mixed', async () => {
    const one = files();
    await Promise.all(Array.from({ length: 20 }, (_, index) => one.write('a', `${index}`.repeat(10_000))));
    expect(await one.read('a')).toBe('19'.repeat(10_000));
    expect(await readdir(folder())).toEqual(['a']);
  });

  test('are removed, and removing what is not there is no error', async () => {
    const one = files();
    await one.remove('a');
    await one.write('a', 'x');
    await one.remove('a');
    expect(await one.read('a')).toBeUndefined();
  });

  test('are set aside under a name that says when, each time another', async () => {
    const one = files();
    expect(await one.setAside('plan.json', 'why')).toBeUndefined();
    const names: (string | undefined)[] = [];
    for (const text of ['first', 'second', 'third']) {
      await one.write('plan.json', text);
      names.push(await one.setAside('plan.json', 'why'));
    }
    const name = 'plan.json.corrupt-2026-01-02T03-04-05.000Z';
    expect(names).toEqual([name, `${name}-2`, `${name}-3`]);
    expect(await one.read(`${name}-2`)).toBe('second');
    expect(await one.read('plan.json')).toBeUndefined();
  });

  test('are set aside under a name that says so when another fleet key has signed them, and only so many of them', async () => {
    const one = files();
    for (const text of ['first', 'second', 'third', 'fourth', 'fifth']) {
      await one.write('plan.json', text);
      await one.setAside('plan.json', 'why', 'other-key');
    }
    const kept = await readdir(folder());
    expect(kept).toHaveLength(3);
    for (const name of kept) expect(name).toMatch(/^plan\.json\.other-key-2026-01-02T03-04-05\.000Z/);
  });

  test.each(['', '.', '..', '../up', 'a/b', '/etc/passwd', '.hidden', 'nul\0', 'x'.repeat(201), 'line\n'])(
    'refuse the name %j',
    async (name) => {
      const one = files();
      for (const call of [() => one.read(name), () => one.write(name, 'x'), () => one.remove(name), () => one.setAside(name, 'why')])
        await expect(call()).rejects.toMatchObject({
          name: 'StateFilesError',
          kind: 'failed',
          message: expect.stringContaining('plain file name'),
        });
    },
  );

  test('say what stands in the way', async () => {
    mkdirSync(join(folder(), 'is-a-folder'), { recursive: true });
    const error = await files()
      .write('is-a-folder', 'x')
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(StateFilesError);
    expect(error).toMatchObject({ kind: 'failed', message: expect.stringContaining(join(folder(), 'is-a-folder')) });
    expect(await readdir(folder())).toEqual(['is-a-folder']);
    await expect(files().read('is-a-folder')).rejects.toMatchObject({ kind: 'failed' });
  });

  test('are idle when everything that was asked for is done, also what failed', async () => {
    const one = files();
    mkdirSync(join(folder(), 'is-a-folder'), { recursive: true });
    const done: string[] = [];
    const note = (name: string) => () => void done.push(name);
    void one.write('a', 'x'.repeat(100_000)).then(note('a'));
    void one.write('is-a-folder', 'x').catch(note('folder'));
    await one.idle();
    expect(done.sort()).toEqual(['a', 'folder']);
    await one.idle();
  });

  test('a failed write does not keep the next from running', async () => {
    const one = files();
    mkdirSync(join(folder(), 'a'), { recursive: true });
    const failing = one.write('a', 'x');
    rmSync(join(folder(), 'a'), { recursive: true, force: true });
    await failing.catch(() => undefined);
    await one.write('a', 'y');
    expect(await one.read('a')).toBe('y');
  });

  test('a full and a read-only disk keep the old text and are told apart', (context) => {
    const script = `
      import { spawnSync } from 'node:child_process';
      import { writeFileSync } from 'node:fs';
      import { createStateFiles } from ${JSON.stringify(ADAPTER)};
      const folder = process.argv[1];
      const files = createStateFiles({ folder, clock: { now: () => 0 } });
      const kind = (call) => call.then(() => 'written', (error) => error.kind);
      await files.write('a', 'old');
      const full = await kind(files.write('a', 'x'.repeat(2_000_000)));
      const kept = await files.read('a');
      const small = await kind(files.write('a', 'new'));
      spawnSync('mount', ['-o', 'remount,ro', folder]);
      process.stdout.write(JSON.stringify({ full, kept, small, ro: await kind(files.write('a', 'x')), last: await files.read('a') }));`;
    mkdirSync(folder());
    const shell = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" --input-type=module -e "$3" "$1"';
    const args = ['--user', '--map-root-user', '--mount', 'sh', '-c', shell, 'sh', folder(), process.execPath, script];
    const child = spawnSync('unshare', args, { encoding: 'utf8' });
    if (child.error !== undefined || /unshare|mount/.test(child.stderr))
      context.skip(`no small disk can be mounted here: ${child.stderr || child.error}`);
    expect(child.stderr).toBe('');
    expect(JSON.parse(child.stdout)).toEqual({ full: 'full', kept: 'old', small: 'written', ro: 'read_only', last: 'new' });
  });

  test('kill -9 leaves the old or the new text, never a part', async () => {
    const script = `
      import { writeSync } from 'node:fs';
      import { createStateFiles } from ${JSON.stringify(ADAPTER)};
      const files = createStateFiles({ folder: process.argv[1], clock: { now: () => 0 } });
      for (let step = 0; ; step += 1) {
        await files.write('a', JSON.stringify({ step, filler: String(step % 10).repeat(100_000) }));
        writeSync(1, '.');
      }`;
    for (let round = 0; round < 5; round += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script, folder()], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exited = once(child, 'exit');
      let said = 0;
      for await (const dots of child.stdout) {
        said += dots.length;
        if (said > 3 + round * 5) child.kill('SIGKILL');
      }
      await exited;
      const { step, filler } = JSON.parse((await files().read('a')) ?? '');
      expect(step).toBeGreaterThanOrEqual(said - 1);
      expect(filler).toBe(String(step % 10).repeat(100_000));
    }
    await files().write('a', 'after');
    expect(await readdir(folder())).toEqual(['a']);
    expect(await readFile(join(folder(), 'a'), 'utf8')).toBe('after');
  });
});
