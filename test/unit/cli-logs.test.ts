import { appendFile, mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTail } from '../../runtime-node/commands/log-tail.ts';
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
    expect((await logs('hello', '-n', '2')).out).toBe('two\nthree\nfo\n');
    expect((await logs('hello', '-n', '1', '--json')).out).toBe('{"name":"hello","line":"three"}\n{"name":"hello","line":"fo"}\n');
  });

  it('reads the end of a large file right, whatever its characters', async () => {
    const lines = Array.from({ length: 20_000 }, (_, number) => `line ${number} äöü 🚀`);
    await writeFile(path, `${lines.join('\n')}\n`);
    expect((await readTail(path, 7_000)).lines).toEqual(lines.slice(-7_000));
    expect((await readTail(path, 30_000)).lines).toEqual(lines);
    expect((await readTail(path, 0)).lines).toEqual([]);
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
    await writeFile(path, 'old 1\nold 2\nhal');
    const stop = new AbortController();
    const steps: Record<string, () => Promise<void>> = {
      'old 2\n': () => appendFile(path, 'f\nnew\n'),
      'old 2\nhalf\nnew\n': async () => {
        await truncate(path, 0);
        await appendFile(path, 'cut\n');
      },
      'old 2\nhalf\nnew\ncut\n': async () => stop.abort(),
    };
    const { out } = await run(['logs', 'hello', '-n', '1', '-f', '--data-dir', dir], {
      signal: stop.signal,
      onOutput: (written) => void steps[written]?.(),
    });
    expect(out).toBe('old 2\nhalf\nnew\ncut\n');
  });
});
