import { expect, test } from 'vitest';
import { openUses } from '../../../runtime-node/artifacts/uses.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';

const hash = 'a'.repeat(64);
const use = { service: 'api', version: '1', sha256: hash };

test('what a full disk did not take is written as soon as there is room, though nothing new is noted', async () => {
  const files = memoryStateFiles();
  const log = recordingLog();
  let isFull = true;
  const write = (name: string, text: string) => (isFull ? Promise.reject(new Error('no space left')) : files.write(name, text));
  const deps = { files: { ...files, write }, log };
  const uses = await openUses(deps);
  await uses.save([use], new Set([hash]));
  expect([uses.list, [...uses.fetched]]).toEqual([[use], [hash]]);
  isFull = false;
  await uses.save([use], new Set([hash]));
  const later = await openUses(deps);
  expect([later.list, [...later.fetched]]).toEqual([[use], [hash]]);
});
