import { existsSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createSqliteOwnership } from '../../runtime-node/adapters/ownership.ts';
import type { Made } from '../../shared/contract/made.ts';
import { ownershipSuite } from '../conformance/ownership.suite.ts';
import { memoryOwnership } from '../support/memory-ownership.ts';

const BACKEND = { component: 'broker', identity: 'bus.sqlite' } as const;
const MADE: Made = { kind: 'exchange', exchange: { name: 'overlay', type: 'topic' } };

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function newPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-ownership-'));
  folders.push(folder);
  return join(folder, 'made.sqlite');
}

ownershipSuite('memory', async () => memoryOwnership());
ownershipSuite('sqlite', async () => createSqliteOwnership({ path: await newPath() }));

describe('the record of what was made, in a file', () => {
  test('outlives the process that wrote it', async () => {
    const path = await newPath();
    const first = createSqliteOwnership({ path });
    await first.note(BACKEND, [MADE]);
    await first.close();
    const second = createSqliteOwnership({ path });
    expect(await second.list(BACKEND)).toEqual([MADE]);
    await second.close();
  });

  test('there is no file before there is something to note', async () => {
    const path = await newPath();
    const ownership = createSqliteOwnership({ path });
    await ownership.note(BACKEND, []);
    await ownership.close();
    expect(existsSync(path)).toBe(false);
  });

  test('one that is damaged is set aside, and then nothing counts as made here', async () => {
    const path = await newPath();
    writeFileSync(path, 'no database at all, but long enough to be looked at as one');
    const moved: string[] = [];
    const { renameSync } = await import('node:fs');
    const set_aside = (file: string) => {
      moved.push(file);
      renameSync(file, `${file}.kept`);
    };
    const ownership = createSqliteOwnership({ path, set_aside });
    expect(await ownership.list(BACKEND)).toEqual([]);
    expect(moved).toEqual([path]);
    await ownership.close();
  });

  test('without anybody to set it aside a damaged one rejects with words for people', async () => {
    const path = await newPath();
    writeFileSync(path, 'no database at all, but long enough to be looked at as one');
    const ownership = createSqliteOwnership({ path });
    await expect(ownership.list(BACKEND)).rejects.toThrow(/damaged or is no database/);
    await ownership.close();
  });
});
