import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { recordingLog } from '../support/recording-log.ts';

const OBJECTS = 1300;
let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-vectors-'));
  path = join(folder, 'vectors.db');
});
afterEach(() => rm(folder, { recursive: true }));

const open = () => createEmbeddedIndex({ path, log: recordingLog() });

async function fill(index: VectorIndex, name: string, objects: number): Promise<void> {
  await index.ensureClass({ name, properties: [{ name: 'label', type: 'text' }] });
  await index.upsert(
    name,
    Array.from({ length: objects }, (_, n) => ({ id: `${n}`, vector: [1, n + 1], meta: { label: name } })),
  );
}

async function removeAndDie(turns: number): Promise<void> {
  const script = resolve(import.meta.dirname, 'vector-index.embedded.remover.ts');
  const child = spawn(process.execPath, [script, path, String(turns)], { stdio: ['ignore', 'ignore', 'inherit'] });
  expect((await once(child, 'exit'))[1]).toBe('SIGKILL');
}

function withFile<T>(work: (database: Sqlite.Database) => T): T {
  const database = new Sqlite(path);
  try {
    return work(database);
  } finally {
    database.close();
  }
}

const rowsOf = (table: string) => withFile((database) => Number(database.prepare(`select count(*) from ${table}`).pluck().get()));

it('a removal that kill -9 cuts off is whole or not begun, and is finished by the next start', async () => {
  const left: number[] = [];
  for (const turns of [0, 2, 3, 4, 5, 12]) {
    const before = open();
    await fill(before, 'Doomed', OBJECTS);
    await fill(before, 'Other', 2);
    await before.close();
    await removeAndDie(turns);
    left.push(rowsOf('objects') - 2);

    const index = open();
    const [found] = await index.readClasses(['Doomed']);
    if (found !== undefined) expect(await index.count('Doomed')).toBe(OBJECTS);
    await index.removeClass('Doomed');
    expect(await index.count('Other')).toBe(2);
    await index.close();
    expect([rowsOf('classes'), rowsOf('objects'), rowsOf('properties')]).toEqual([1, 2, 1]);
  }
  expect(left.some((rows) => rows > 0 && rows < OBJECTS)).toBe(true);
});

it('that a crash cut off does not come back into a new class of that name', async () => {
  const before = open();
  await fill(before, 'Doomed', 40);
  await before.close();
  // As a crash leaves it after the first commit.
  withFile((database) => database.exec("update classes set name = char(1) || id where name = 'Doomed'"));
  const index = open();
  expect(await index.readClasses(['Doomed'])).toEqual([]);
  await index.ensureClass({ name: 'Doomed', dimensions: 3, properties: [] });
  await index.upsert('Doomed', [{ id: 'new', vector: [1, 2, 3], meta: {} }]);
  expect(await index.count('Doomed')).toBe(1);
  await index.removeClass('Gone');
  await index.close();
  expect([rowsOf('classes'), rowsOf('objects'), rowsOf('properties')]).toEqual([1, 1, 0]);
});
