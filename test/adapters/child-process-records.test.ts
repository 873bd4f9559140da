import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openProcessRecords } from '../../runtime-node/adapters/child-process-records.ts';

test('only a record that is broken is set aside, not one that can not be read for now', () => {
  const folder = mkdtempSync(join(tmpdir(), 'process-records-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const aside: string[] = [];
  const records = openProcessRecords(folder, (path) => aside.push(basename(path)));
  writeFileSync(join(folder, 'broken.json'), '{');
  mkdirSync(join(folder, 'folder.json'));
  // As with too many open files: the file is there, and opening it fails.
  symlinkSync(join(folder, 'busy.json'), join(folder, 'busy.json'));
  expect(records.list()).toEqual([]);
  expect(aside.sort()).toEqual(['broken.json', 'folder.json']);
});
