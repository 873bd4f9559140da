import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import { recordingLog } from '../support/recording-log.ts';
import { crashClass, expectAllThere, type Line, runWriter } from './forward-vector.support.ts';

const TOTAL = 1500;

describe('kill -9 of a node whose vectors wait or go over', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bootplane-forward-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('loses nothing that it acknowledged, and makes no conflict of it', async () => {
    const path = join(folder, 'external.sqlite');
    const external = createEmbeddedIndex({ path, log: recordingLog() });
    await external.ensureClass(crashClass('Crash'));
    await external.close();
    const life = { folder, name: 'Crash', to: TOTAL };
    await writeFile(join(folder, 'away'), '');
    let { acked } = await runWriter({ ...life, from: 0 }, (line) => (line.acked ?? 0) >= 400);
    ({ acked } = await runWriter({ ...life, from: acked }, (line) => (line.acked ?? 0) >= 1000));
    await rm(join(folder, 'away'));
    const forwarded = (least: number) => (line: Line) => (line.forwarded ?? 0) > least;
    for (const least of [0, 400, 800]) ({ acked } = await runWriter({ ...life, from: acked }, forwarded(least)));
    const { last } = await runWriter({ ...life, from: acked });
    expect(last).toMatchObject({ presence: 'present', waiting: 0, conflicts: 0, done: true });
    const index = createEmbeddedIndex({ path, log: recordingLog() });
    await expectAllThere(index, 'Crash', TOTAL);
    await index.close();
  });
});
