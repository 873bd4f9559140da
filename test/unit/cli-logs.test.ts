import { appendFile, mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDataDir, run } from '../support/cli.ts';

let dir: string;
let path: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ dir, remove } = await makeDataDir());
  await mkdir(join(dir, 'logs'));
  path = join(dir, 'logs', 'hello.log');
});
afterEach(() => remove());

const logs = (...argv: string[]) => run(['logs', '--data-dir', dir, ...argv]);

describe('logs', () => {
  it('prints the last lines, with one that is not ended', async () => {
    await writeFile(path, 'one\ntwo\nthree\nfo');
    expect(await logs('hello')).toEqual({ code: 0, out: 'one\ntwo\nthree\nfo\n', err: '' });
    expect((await logs('hello', '-n', '2')).out).toBe('three\nfo\n');
    expect((await logs('hello', '-n', '1', '--json')).out).toBe('{"name":"hello","line":"fo"}\n');
    expect((await logs('hello', '-n', '0')).out).toBe('');
  });

  it('reaches back into what was rotated', async () => {
    await writeFile(path, 'three\n');
    await writeFile(`${path}.1`, 'one\ntwo\n');
    expect((await logs('hello')).out).toBe('one\ntwo\nthree\n');
  });

  it('names the services that there are', async () => {
    await writeFile(path, '');
    const { code, err } = await logs('helo');
    expect(code).toBe(1);
    expect(err).toContain('There is: hello.');
  });

  it('never leaves the folder', async () => {
    await writeFile(join(dir, 'secret.log'), 'secret\n');
    const { code, out } = await logs('../secret');
    expect({ code, out }).toEqual({ code: 1, out: '' });
  });

  it('follows what is added, through a rotation', async () => {
    await writeFile(path, 'old 1\nold 2\n');
    const stop = new AbortController();
    const steps: Record<string, () => Promise<void>> = {
      'old 2\n': () => appendFile(path, 'new\n'),
      'old 2\nnew\n': async () => {
        await truncate(path, 0);
        await appendFile(path, 'cut\n');
      },
      'old 2\nnew\ncut\n': async () => stop.abort(),
    };
    const { out } = await run(['logs', 'hello', '-n', '1', '-f', '--data-dir', dir], {
      signal: stop.signal,
      onOutput: (written) => void steps[written]?.(),
    });
    expect(out).toBe('old 2\nnew\ncut\n');
  });
});
