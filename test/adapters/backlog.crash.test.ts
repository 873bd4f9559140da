import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createSqliteBacklog } from '../../runtime-node/adapters/backlog/index.ts';
import type { Entry } from '../../shared/ports/backlog.ts';
import { killAfter } from '../support/kill-after.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const WRITER = fileURLToPath(new URL('backlog.writer.ts', import.meta.url));
const HERE = { component: 'storage', identity: 'https://one.example' } as const;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bootplane-backlog-'));
});
afterEach(() => rm(folder, { recursive: true }));

interface Told {
  readonly key: string;
  readonly hash: string;
  readonly settling?: true;
  readonly settled?: true;
}

it('what a call resolved with is there after kill -9, a batch whole or not at all', async () => {
  const path = join(folder, 'backlog.sqlite');
  const told: Told[] = [];
  for (const [round, lines] of [7, 150, 900].entries()) {
    const writer = { program: WRITER, path, round, telling: join(folder, `told-${round}`) };
    for (const line of await killAfter(writer, lines)) told.push(JSON.parse(line));
  }

  const backlog = createSqliteBacklog({ path, clock: new SimulatedClock(), log: recordingLog() });
  const waiting = new Map((await backlog.next(HERE, 1_000_000)).map((entry): [string, Entry] => [entry.key, entry]));
  expect(await backlog.counts(HERE)).toMatchObject({ waiting: waiting.size, conflicts: 0 });
  await backlog.close();

  // By key what was told of it last: the next step may have been done and not yet told.
  const last = new Map(told.map((one) => [one.key, one]));
  expect(last.size).toBeGreaterThan(100);
  for (const { key, hash, settling, settled } of last.values()) {
    const [first, second, third] = [0, 1, 2].map((part) => waiting.get(`${key}-${part}`));
    expect(second?.hash).toBe(third?.hash);
    const isNext = second?.hash !== hash;
    if (isNext) expect(stepOf(second?.hash)).toBeGreaterThan(stepOf(hash));
    if (settled === true && !isNext) expect(first).toBeUndefined();
    else if (settling !== true && !isNext && first === undefined) expect(stepOf(hash) % 3).toBe(0);
    else if (first !== undefined) expect(first.hash).toBe(second?.hash);
  }
});

function stepOf(hash = ''): number {
  return Number(hash.split('-')[1]);
}
