import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Database } from '../../shared/ports/database.ts';
import { recordingLog } from '../support/recording-log.ts';
import { FLEET_KEY } from './harness.ts';
import { startOnNode } from './node-harness.ts';

/** A Supervisor with open streams at `path`, each of which has told something. */
async function withStreams(path: string) {
  const log = recordingLog();
  const disk = { fails: false };
  const wrap = (database: Database): Database => ({
    now: database.now,
    batch: (statements) => (disk.fails ? Promise.reject(new Error('the disk is gone')) : database.batch(statements)),
    close: () => database.close(),
  });
  const harness = await startOnNode({ log, wrap });
  const headers = { authorization: `Bearer ${FLEET_KEY}`, accept: 'text/event-stream' };
  const streams = await Promise.all(Array.from({ length: 5 }, () => harness.fetch(path, { headers })));
  const readers = streams.flatMap(({ body }) => (body === null ? [] : [body.getReader()]));
  for (const reader of readers) await reader.read();
  const left = () =>
    Promise.allSettled(
      readers.map(async (reader) => {
        for (let part = await reader.read(); !part.done; ) part = await reader.read();
      }),
    );
  return { harness, disk, left, troubles: () => log.lines.filter(({ level }) => level === 'warn' || level === 'error') };
}

describe.each(['/v1/news', '/v1/events'])('who reads %s', (path) => {
  it('is left without a warning when the Supervisor stops', async () => {
    const { harness, left, troubles } = await withStreams(path);
    await harness.close();
    await left();
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
    expect(troubles()).toEqual([]);
  });

  it('is left with one when the Supervisor can no longer read', async () => {
    const { harness, disk, left, troubles } = await withStreams(path);
    disk.fails = true;
    const ended = left();
    for (let turn = 0; turn < 3; turn += 1) await harness.clock.advance(3000);
    await ended;
    expect(troubles().map(({ message }) => message)).toContain('a stream broke off');
    await harness.close();
  });
});
