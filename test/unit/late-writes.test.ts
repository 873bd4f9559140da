import { describe, expect, it } from 'vitest';
import { createLateWrites } from '../../runtime-node/late-writes.ts';
import { createListening } from '../../runtime-node/listen-file.ts';
import type { Member } from '../../shared/contract/member.ts';
import { createClusterFile } from '../../shared/discovery/cluster-file.ts';
import { writeJsonFile } from '../../shared/discovery/json-file.ts';
import { writeMember } from '../../shared/discovery/member-file.ts';
import type { DiscoveryState } from '../../shared/discovery/types.ts';
import { StateFilesError } from '../../shared/ports/state-files.ts';
import { drain } from '../support/drain.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { recordingServices } from './discovery/harness.ts';

/** A data directory on a disk that is full until the test says otherwise. */
function setUp() {
  const memory = memoryStateFiles();
  const disk = { full: true, kind: 'full' as StateFilesError['kind'] };
  const onDisk = {
    ...memory,
    write: (name: string, text: string) =>
      disk.full ? Promise.reject(new StateFilesError(disk.kind, 'the disk is full (ENOSPC)')) : memory.write(name, text),
  };
  const [clock, log, ending] = [new SimulatedClock(), recordingLog(), new AbortController()];
  const late = createLateWrites({ files: onDisk, clock, log });
  const running = late.run(ending.signal);
  const end = async () => {
    ending.abort();
    await running;
  };
  const warnings = () => log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  return { ...late, texts: memory.texts, disk, clock, log, warnings, end, signal: ending.signal };
}

describe('a state file on a full disk', () => {
  it('is written when there is room, as its last writer had it, and nobody has to ask again', async () => {
    const { files, texts, disk, clock, waiting, end } = setUp();
    await expect(files.write('plan.json', 'one')).rejects.toMatchObject({ kind: 'full' });
    await expect(files.write('plan.json', 'two')).rejects.toMatchObject({ kind: 'full' });
    expect(waiting()).toEqual([expect.stringMatching(/storage_full.*plan\.json can't be written; free some space/)]);
    await clock.advance(60_000);
    expect(texts.size).toBe(0);
    disk.full = false;
    await clock.advance(5_000);
    expect(texts.get('plan.json')).toBe('two');
    expect(waiting()).toEqual([]);
    await end();
  });

  it('is not written late over what came after it', async () => {
    const { files, texts, disk, clock, end } = setUp();
    for (const name of ['newer.json', 'gone.json']) await files.write(name, 'old').catch(() => undefined);
    disk.full = false;
    await files.write('newer.json', 'new');
    await files.remove('gone.json');
    await clock.advance(60_000);
    expect([...texts]).toEqual([['newer.json', 'new']]);
    await end();
  });

  describe('while calls are under way', () => {
    /** Each write to the disk waits for its turn, in order, until the test lets it come out. */
    function held() {
      const memory = memoryStateFiles();
      const queue: (() => Promise<void>)[] = [];
      const onDisk = {
        ...memory,
        write: (name: string, text: string) =>
          new Promise<void>((resolve, reject) =>
            queue.push(async () => (full ? reject(new StateFilesError('full', 'full')) : resolve(memory.write(name, text)))),
          ),
      };
      let full = true;
      const [clock, log, ending] = [new SimulatedClock(), recordingLog(), new AbortController()];
      const late = createLateWrites({ files: onDisk, clock, log });
      const running = late.run(ending.signal);
      const next = async (isFull: boolean) => {
        full = isFull;
        await queue.shift()?.();
        await drain();
      };
      const end = async () => {
        ending.abort();
        while (queue.length > 0) await next(false);
        await running;
      };
      return { ...late, memory, clock, next, end };
    }

    it('an older text that is refused is not written over a newer one', async () => {
      const { files, memory, clock, next, waiting, end } = held();
      const older = files.write('plan.json', 'older').catch(() => undefined);
      const newer = files.write('plan.json', 'newer');
      await next(true);
      await clock.advance(5_000);
      await next(false);
      await Promise.all([older, newer]);
      expect(waiting()).toEqual([]);
      await clock.advance(60_000);
      await end();
      expect(memory.texts.get('plan.json')).toBe('newer');
    });

    it('one that is refused after the file was removed does not come back', async () => {
      const { files, memory, clock, next, waiting, end } = held();
      const written = files.write('plan.json', 'text').catch(() => undefined);
      await files.remove('plan.json');
      await next(true);
      await written;
      expect(waiting()).toEqual([]);
      await clock.advance(60_000);
      await end();
      expect(memory.texts.size).toBe(0);
    });
  });

  it('that the disk refuses for another reason by then is told, and waits no more', async () => {
    const { files, disk, clock, waiting, warnings, end } = setUp();
    await files.write('plan.json', 'one').catch(() => undefined);
    disk.kind = 'read_only';
    await clock.advance(5_000);
    expect(waiting()).toEqual([]);
    expect(warnings()).toEqual([expect.stringContaining("plan.json can't be written, and that is not tried again")]);
    await end();
  });

  it('of which there is a copy is written late as both', async () => {
    const { files, texts, disk, clock, log, end } = setUp();
    await expect(writeMember({ files, log }, {} as Member)).rejects.toMatchObject({ kind: 'full', message: 'the disk is full (ENOSPC)' });
    disk.full = false;
    await clock.advance(5_000);
    expect([...texts.keys()].sort()).toEqual(['member.copy.json', 'member.json']);
    await end();
  });

  it('is told ever less often while it stays full', async () => {
    const { files, log, warnings, disk, end } = setUp();
    for (let time = 0; time < 59; time += 1) await writeJsonFile({ files, log }, 'cluster.json', { time });
    expect(warnings()).toEqual([
      expect.stringContaining("cluster.json can't be written: the disk is full (ENOSPC)"),
      expect.stringContaining('(10 times since 2026-01-01T00:00:00.000Z)'),
    ]);
    disk.full = false;
    await writeJsonFile({ files, log }, 'cluster.json', {});
    disk.full = true;
    await writeJsonFile({ files, log }, 'cluster.json', {});
    expect(warnings()).toHaveLength(3);
    await end();
  });

  it('of which the disk says anything else is left to who wrote it', async () => {
    const { files, disk, waiting, end } = setUp();
    disk.kind = 'read_only';
    await expect(files.write('plan.json', 'one')).rejects.toMatchObject({ kind: 'read_only' });
    expect(waiting()).toEqual([]);
    await end();
  });

  it('that is written late is not taken for what somebody else has written', async () => {
    const { files, texts, disk, clock, log, end } = setUp();
    disk.full = false;
    const state = { node_id: 'n', fleet: 'default', site: 's', role: 'worker', epoch: 1, ttl_seconds: 15, generations: {}, source: 'self' };
    const services = recordingServices([], () => undefined, 'n');
    const cluster = createClusterFile({ files, log, clock, services }, () => state as unknown as DiscoveryState);
    await cluster.update();
    disk.full = true;
    state.epoch = 2;
    await cluster.update();
    disk.full = false;
    await clock.advance(5_000);
    await cluster.update();
    expect([...texts.keys()]).toEqual(['cluster.json']);
    expect(JSON.parse(texts.get('cluster.json') ?? '')).toMatchObject({ epoch: 2 });
    await end();
  });
});

describe('listen.json', () => {
  it('leads commands to a node that started on a full disk as soon as there is room, and again where it was removed', async () => {
    const { files, texts, disk, clock, log, warnings, signal, end } = setUp();
    const listening = createListening({ files, clock, log }, 'http://127.0.0.1:7420');
    await listening.tell();
    const running = listening.run(signal);
    expect(warnings()).toEqual([expect.stringContaining('do not find this node without --url')]);
    disk.full = false;
    await clock.advance(5_000);
    const told = texts.get('listen.json');
    expect(JSON.parse(told ?? '')).toMatchObject({ url: 'http://127.0.0.1:7420', pid: process.pid });
    texts.delete('listen.json');
    await clock.advance(10_000);
    expect(texts.get('listen.json')).toBe(told);
    await end();
    await running;
  });
});
