import { afterEach, describe, expect, test } from 'vitest';
import type { Backlog } from '../../../../shared/ports/backlog.ts';
import { StorageError } from '../../../../shared/ports/object-storage.ts';
import { memoryObjectStorage } from '../../../support/memory-object-storage.ts';
import { SimulatedClock } from '../../../support/simulated-clock.ts';
import { until } from '../../../support/until.ts';
import { bytesOf, type Node, readText, type Sides, startNode, streamOf, textOf } from './storage.harness.ts';

const nodes = new Set<Node>();
const start = async (sides: Sides & { isAway?: boolean } = {}) => {
  const node = await startNode(sides);
  nodes.add(node);
  return node;
};
afterEach(async () => {
  for (const node of nodes) await node.stop();
  nodes.clear();
});

const away = { kind: 'backend_away' };

describe('while the external is away', () => {
  test('what is written is kept, is read back, and goes over when it answers', async () => {
    const node = await start({ isAway: true });
    await node.port.put('data', 'a', bytesOf('one'), { content_type: 'text/plain' });
    await node.port.put('data', 'b', streamOf('two'));
    expect(node.forward.status()).toEqual({
      presence: 'away',
      reason: 'readBuckets: nothing listens',
      waiting: 2,
      forwarded: 0,
      conflicts: 0,
    });
    expect(await textOf(node.port, 'a')).toBe('one');
    expect(await node.port.head('data', 'b')).toMatchObject({ key: 'b', size: 3 });
    expect(await readText((await node.port.get('data', 'a', { range: { start: 1, end: 1 } })).body)).toBe('n');
    await expect(node.port.get('data', 'a', { range: { start: 9 } })).rejects.toMatchObject({ kind: 'range_not_satisfiable' });
    await node.comeBack();
    expect(node.forward.status()).toEqual({ presence: 'present', waiting: 0, forwarded: 2, conflicts: 0 });
    expect(await textOf(node.store, 'a')).toBe('one');
    expect(await node.store.head('data', 'a')).toMatchObject({ content_type: 'text/plain' });
    expect(await textOf(node.port, 'b')).toBe('two');
    expect(await textOf(node.fallback, 'b')).toBe('two');
    expect(node.events.map(({ kind, message }) => `${kind}: ${message}`)).toEqual([
      'moved: storage (memory at memory) answers: 2 objects go over',
      'moved: storage (memory at memory) has all that waited',
    ]);
  });

  test('what only it could tell is backend_away, and never absent', async () => {
    const node = await start();
    await node.port.put('data', 'there', bytesOf('x'));
    await node.goAway();
    await node.port.put('data', 'waits', bytesOf('y'));
    const calls = [
      () => node.port.get('data', 'there'),
      () => node.port.head('data', 'absent'),
      () => node.port.head('data', 'there', { version_id: 'null' }),
      () => node.port.list('data'),
      () => node.port.listVersions('data'),
      () => node.port.delete('data', 'there'),
      () => node.port.delete('data', 'waits', { version_id: 'null' }),
      () => node.port.put('data', 'new', bytesOf('z'), { if_absent: true }),
      () => node.port.put('unknown', 'new', bytesOf('z')),
      () => node.port.readBuckets(['data']),
      () => node.port.ensureBucket('other-bucket'),
      () => node.port.bucketStats('data'),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject(away);
    expect(node.forward.status()).toMatchObject({ waiting: 1 });
  });

  test('known to be away is not asked again by each call', async () => {
    const node = await start({ isAway: true });
    node.link.calls.length = 0;
    await node.port.put('data', 'a', bytesOf('one'));
    await node.port.get('data', 'a');
    await expect(node.port.get('data', 'other')).rejects.toMatchObject(away);
    expect(node.link.calls).toEqual([]);
  });

  test('bytes fall over in the same call, a stream that was begun does not', async () => {
    const node = await start();
    node.link.isAway = true;
    await node.port.put('data', 'bytes', bytesOf('one'));
    expect(node.forward.status()).toMatchObject({ presence: 'away', waiting: 1 });
    await node.comeBack();
    node.link.isAway = true;
    const source = streamOf('two');
    await expect(node.port.put('data', 'stream', source)).rejects.toMatchObject(away);
    expect(source.locked).toBe(false);
    await expect(source.getReader().read()).resolves.toMatchObject({ done: true });
    await node.port.put('data', 'stream', streamOf('two'));
    await node.comeBack();
    for (const [key, text] of [
      ['bytes', 'one'],
      ['stream', 'two'],
    ] as const)
      expect(await textOf(node.store, key)).toBe(text);
  });

  test('a key that waits is taken for if_absent, and a body that differs from its checksum is refused', async () => {
    const node = await start({ isAway: true });
    await node.port.put('data', 'a', bytesOf('one'));
    await expect(node.port.put('data', 'a', bytesOf('two'), { if_absent: true })).rejects.toMatchObject({ kind: 'already_exists' });
    await expect(node.port.put('data', 'a', bytesOf('two'), { sha256: '0'.repeat(64) })).rejects.toMatchObject({
      kind: 'checksum_mismatch',
    });
    await expect(node.port.put('data', 'b', streamOf('two'), { sha256: '0'.repeat(64) })).rejects.toMatchObject({
      kind: 'checksum_mismatch',
    });
    await node.comeBack();
    expect(await textOf(node.store, 'a')).toBe('one');
    expect((await node.store.list('data')).objects).toHaveLength(1);
  });

  test('a write again replaces what waits, and the last goes over', async () => {
    const node = await start({ isAway: true });
    for (const text of ['one', 'two', 'three']) await node.port.put('data', 'a', bytesOf(text));
    expect(node.forward.status()).toMatchObject({ waiting: 1 });
    await node.comeBack();
    expect(await textOf(node.store, 'a')).toBe('three');
  });

  test('what was written where versions are kept is read by its version, also later', async () => {
    const clock = new SimulatedClock();
    const [store, fallback] = [memoryObjectStorage(clock), memoryObjectStorage(clock)];
    for (const one of [store, fallback]) {
      await one.ensureBucket('data');
      await one.ensureVersioning('data', true);
    }
    // So that the two sides never give the same id.
    for (let time = 0; time < 100; time += 1) await fallback.put('data', 'other', bytesOf(''));
    const node = await start({ clock, store, fallback, isAway: true });
    const [one, two] = [await node.port.put('data', 'a', bytesOf('one')), await node.port.put('data', 'a', bytesOf('two'))];
    await node.comeBack();
    const { version_id } = await node.port.put('data', 'a', bytesOf('three'));
    expect(await textOf(node.port, 'a', one)).toBe('one');
    expect(await textOf(node.port, 'a', two)).toBe('two');
    expect(await textOf(node.port, 'a', { version_id })).toBe('three');
    expect(await textOf(node.port, 'a')).toBe('three');
    await expect(node.port.get('data', 'a', { version_id: 'unknown' })).rejects.toMatchObject({ kind: 'no_such_key' });
  });

  test('is nobody told before it had a moment to answer', async () => {
    const held = Promise.withResolvers<void>();
    const node = await start({ meddle: (method) => (method === 'readBuckets' ? held.promise : undefined) });
    const writing = node.port.put('data', 'a', streamOf('one'));
    const absent = expect(node.port.head('data', 'b')).rejects.toMatchObject({ kind: 'no_such_key' });
    await node.clock.advance(1000);
    held.resolve();
    await Promise.all([writing, absent]);
    expect(await textOf(node.store, 'a')).toBe('one');
  });
});

describe('what waits', () => {
  test('is joined by the next write when the external answers again, and the two go over as one', async () => {
    const node = await start({ isAway: true });
    await node.port.put('data', 'a', bytesOf('one'));
    const held = Promise.withResolvers<void>();
    node.link.meddle = (method) => (method === 'put' ? held.promise : undefined);
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ presence: 'forwarding', waiting: 1 });
    // The copy is under way: what is written now waits until it has ended, and is not overtaken by it.
    const second = node.port.put('data', 'a', bytesOf('two'));
    expect(await textOf(node.port, 'a')).toBe('one');
    held.resolve();
    await second;
    await node.clock.advance(30_000);
    expect(await textOf(node.store, 'a')).toBe('two');
    expect(node.conflicts()).toEqual([]);
    expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0 });
  });

  test('and can not go yet is joined and read in the embedded default, though the external answers', async () => {
    const node = await start({ isAway: true });
    await node.fallback.ensureBucket('later');
    await node.port.put('later', 'a', bytesOf('one'));
    await node.port.put('data', 'b', bytesOf('two'));
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ presence: 'forwarding', waiting: 1, forwarded: 1 });
    await node.port.put('later', 'a', bytesOf('three'));
    expect(await readText((await node.port.get('later', 'a')).body)).toBe('three');
    await expect(node.port.put('later', 'a', bytesOf('four'), { if_absent: true })).rejects.toMatchObject({ kind: 'already_exists' });
    // What does not wait is the external's to answer.
    await expect(node.port.put('later', 'c', bytesOf('x'))).rejects.toMatchObject({ kind: 'no_such_bucket' });
    await node.port.ensureBucket('later');
    node.forward.wake();
    await node.clock.advance(0);
    expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 2 });
    expect(await readText((await node.store.get('later', 'a')).body)).toBe('three');
  });

  test('and has no bucket to go to is not sent again and again, keeps nothing else, and that is said once', async () => {
    const node = await start({ isAway: true });
    await node.fallback.ensureBucket('dropped');
    for (let index = 0; index < 50; index += 1) await node.port.put('dropped', `key-${index}`, bytesOf('x'));
    await node.port.put('data', 'b', bytesOf('two'));
    node.link.calls.length = 0;
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ presence: 'forwarding', waiting: 50, forwarded: 1 });
    const probes = node.link.calls.filter((method) => method === 'readBuckets').length;
    // As many as there are lanes.
    expect(node.link.calls.filter((method) => method === 'put').length).toBeLessThanOrEqual(1 + 8 * probes);
    expect(node.log.lines.filter(({ message }) => message.includes('no bucket dropped'))).toHaveLength(1);
    await node.store.ensureBucket('dropped');
    await node.clock.advance(10_000);
    expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 51 });
  });

  test('goes over after a restart, from where it stood', async () => {
    const node = await start({ isAway: true });
    for (let index = 0; index < 30; index += 1) await node.port.put('data', `key-${index}`, bytesOf(`text ${index}`));
    node.link.meddle = (method) => (method === 'put' && node.link.calls.filter((one) => one === 'put').length > 9 ? 'before' : undefined);
    node.link.isAway = false;
    await node.clock.advance(10_000);
    expect(node.forward.status().presence).toBe('away');
    const { forwarded } = node.forward.status();
    expect(forwarded).toBeGreaterThan(0);
    const again = await node.restart();
    nodes.add(again);
    await again.clock.advance(30_000);
    expect(again.forward.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 30, conflicts: 0 });
    for (let index = 0; index < 30; index += 1) expect(await textOf(again.store, `key-${index}`)).toBe(`text ${index}`);
    // At most what was under way was sent twice.
    expect(again.link.calls.filter((one) => one === 'put').length).toBe(30 - forwarded);
  });

  test('goes over eight at a time', async () => {
    const node = await start({ isAway: true });
    for (let index = 0; index < 20; index += 1) await node.port.put('data', `key-${index}`, bytesOf('x'));
    const held = Promise.withResolvers<void>();
    node.link.meddle = (method) => (method === 'put' ? held.promise : undefined);
    await node.comeBack();
    expect(node.link.calls.filter((one) => one === 'put')).toHaveLength(8);
    held.resolve();
    await node.clock.advance(0);
    expect(node.forward.status()).toMatchObject({ presence: 'present', forwarded: 20 });
  });

  test('that is stored already, because an answer got lost, is found and not taken for a conflict', async () => {
    const node = await start();
    node.link.meddle = (method) => (method === 'put' ? 'after' : undefined);
    await node.port.put('data', 'a', bytesOf('one'));
    expect(await textOf(node.store, 'a')).toBe('one');
    expect(node.forward.status()).toMatchObject({ waiting: 1 });
    await node.comeBack();
    // Each copy's answer gets lost as well, and the look at what is there does not.
    expect(node.forward.status()).toMatchObject({ waiting: 0, forwarded: 1, conflicts: 0 });
  });

  test('that finds other bytes under its key leaves them, stays, and is told once', async () => {
    const node = await start({ isAway: true });
    await node.store.put('data', 'a', bytesOf('theirs, and older'));
    await node.port.put('data', 'a', bytesOf('ours'));
    await node.port.put('data', 'b', bytesOf('fine'));
    await node.comeBack();
    expect(node.forward.status()).toEqual({ presence: 'present', waiting: 0, forwarded: 1, conflicts: 1 });
    expect(node.conflicts()).toEqual([expect.stringMatching(/: data\/a: the external holds another object under this key \(17 bytes/)]);
    expect(await textOf(node.store, 'a')).toBe('theirs, and older');
    expect(await textOf(node.port, 'a')).toBe('theirs, and older');
    expect(await textOf(node.fallback, 'a')).toBe('ours');
    const again = await node.restart();
    nodes.add(again);
    await again.clock.advance(30_000);
    expect(again.conflicts()).toEqual([]);
    expect(again.forward.status()).toMatchObject({ presence: 'present', conflicts: 1 });
    await again.port.put('data', 'a', bytesOf('ours again'));
    expect(await textOf(again.store, 'a')).toBe('ours again');
  });

  test('that the store has without a checksum is compared byte by byte', async () => {
    const clock = new SimulatedClock();
    const store = memoryObjectStorage(clock);
    const plain = async (key: string) => {
      const { sha256: _, ...info } = await store.head('data', key);
      return info;
    };
    const node = await start({ clock, store: { ...store, head: (_bucket, key) => plain(key) }, isAway: true });
    for (const [key, text] of [
      ['same', 'one'],
      ['other', 'two'],
      ['new', 'x'.repeat(300_000)],
    ] as const)
      await node.port.put('data', key, streamOf(text));
    await store.put('data', 'same', bytesOf('one'));
    await store.put('data', 'other', bytesOf('owt'));
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ forwarded: 2, conflicts: 1 });
    expect(node.conflicts()).toEqual([expect.stringContaining('data/other')]);
  });

  test('that was replaced by a call that a crash cut off goes over as it is now', async () => {
    const node = await start({ isAway: true });
    await node.port.put('data', 'a', bytesOf('one'));
    // The object was stored, and the entry not yet.
    await node.fallback.put('data', 'a', bytesOf('two'));
    expect(await textOf(node.port, 'a')).toBe('two');
    await node.comeBack();
    expect(await textOf(node.store, 'a')).toBe('two');
    expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0, conflicts: 0 });
  });

  test('that is damaged, gone or refused is told and does not hold up the others', async () => {
    const clock = new SimulatedClock();
    const fallback = memoryObjectStorage(clock);
    const store = memoryObjectStorage(clock);
    const corrupt = () => Promise.reject(new StorageError('corrupt', 'block 3 differs from its checksum'));
    const broken = new ReadableStream<Uint8Array>({ pull: corrupt });
    let isDamaged = false;
    const node = await start({
      clock,
      isAway: true,
      fallback: {
        ...fallback,
        async get(bucket, key, options) {
          if (isDamaged && key === 'damaged') return corrupt();
          if (isDamaged && key === 'damaged inside') return { info: await fallback.head(bucket, key), body: broken };
          return fallback.get(bucket, key, options);
        },
      },
      store: {
        ...store,
        async put(bucket, key, body, options) {
          if (key === 'refused') throw new StorageError('bad_name', 'no such key is taken');
          return store.put(bucket, key, body, options);
        },
      },
    });
    for (const key of ['damaged', 'damaged inside', 'gone', 'refused', 'fine']) await node.port.put('data', key, bytesOf(key));
    isDamaged = true;
    await fallback.delete('data', 'gone');
    await expect(node.port.get('data', 'gone')).rejects.toMatchObject({ kind: 'corrupt' });
    await node.comeBack();
    expect(node.forward.status()).toEqual({ presence: 'present', waiting: 0, forwarded: 1, conflicts: 4 });
    expect(node.conflicts().sort()).toEqual([
      expect.stringMatching(/: data\/damaged inside: it can't be read .*block 3/),
      expect.stringMatching(/: data\/damaged: it can't be read .*block 3/),
      expect.stringMatching(/: data\/gone: it is not in the embedded default any more/),
      expect.stringMatching(/: data\/refused: the external takes no such key/),
    ]);
    expect(await textOf(store, 'fine')).toBe('fine');
  });

  test('that the store refuses for now is tried again, without haste, and the others go on', async () => {
    const node = await start({ isAway: true });
    for (const key of ['a', 'b', 'c']) await node.port.put('data', key, bytesOf(key));
    let isFull = true;
    const real = node.store.put;
    Object.assign(node.store, {
      put: async (...args: Parameters<typeof real>) => {
        if (isFull && args[1] === 'b') throw new StorageError('full', 'no room');
        return real(...args);
      },
    });
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ presence: 'forwarding', waiting: 1, forwarded: 2 });
    node.link.calls.length = 0;
    await node.clock.advance(600_000);
    expect(node.link.calls.filter((one) => one === 'put').length).toBeLessThan(150);
    expect(node.log.lines.at(-1)?.message).toContain('no room');
    isFull = false;
    await node.clock.advance(10_000);
    expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0, forwarded: 3 });
  });
});

describe('a deletion', () => {
  test('of what waits hides it at once, and nothing goes over', async () => {
    const node = await start({ isAway: true });
    await node.port.put('data', 'a', bytesOf('one'));
    for (let time = 0; time < 2; time += 1) await node.port.delete('data', 'a');
    await expect(node.port.get('data', 'a')).rejects.toMatchObject({ kind: 'no_such_key' });
    await node.comeBack();
    expect((await node.store.list('data')).objects).toEqual([]);
    expect(node.forward.status()).toEqual({ presence: 'present', waiting: 0, forwarded: 1, conflicts: 0 });
    await expect(node.port.head('data', 'a')).rejects.toMatchObject({ kind: 'no_such_key' });
  });

  test('of what was copied without its answer removes the copy', async () => {
    const node = await start();
    node.link.meddle = (method) => (method === 'put' ? 'after' : undefined);
    await node.port.put('data', 'a', bytesOf('one'));
    node.link.isAway = true;
    await node.clock.advance(60_000);
    await node.port.delete('data', 'a');
    expect(await textOf(node.store, 'a')).toBe('one');
    await node.comeBack();
    expect((await node.store.list('data')).objects).toEqual([]);
    expect(node.conflicts()).toEqual([]);
  });

  test('of a key under which the external holds something else leaves that, and says so', async () => {
    const node = await start({ isAway: true });
    await node.store.put('data', 'a', bytesOf('theirs'));
    await node.port.put('data', 'a', bytesOf('ours'));
    await node.port.delete('data', 'a');
    await node.comeBack();
    expect(await textOf(node.store, 'a')).toBe('theirs');
    expect(node.conflicts()).toEqual([expect.stringContaining('data/a: it was deleted while the external was away')]);
  });

  test('is followed by a write that counts', async () => {
    const node = await start({ isAway: true });
    await node.port.put('data', 'a', bytesOf('one'));
    await node.port.delete('data', 'a');
    await node.port.put('data', 'a', bytesOf('two'), { if_absent: true });
    await expect(node.port.put('data', 'a', bytesOf('three'), { if_absent: true })).rejects.toMatchObject({ kind: 'already_exists' });
    expect(await textOf(node.port, 'a')).toBe('two');
    await node.comeBack();
    expect(await textOf(node.store, 'a')).toBe('two');
  });

  test('when the external answers again is done on both sides', async () => {
    const node = await start({ isAway: true });
    await node.port.put('data', 'a', bytesOf('one'));
    Object.assign(node.store, { put: wrapped(node.store.put, new StorageError('full', 'no room')) });
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ presence: 'forwarding', waiting: 1 });
    await node.port.delete('data', 'a');
    expect(node.forward.status()).toMatchObject({ waiting: 0 });
    await expect(node.fallback.head('data', 'a')).rejects.toMatchObject({ kind: 'no_such_key' });
    expect(node.link.calls).toContain('delete');
  });
});

describe('lists, once the external answers', () => {
  const keysOf = async (node: Node, options: Parameters<Node['port']['list']>[1] = {}) => {
    const page = await node.port.list('data', options);
    return { keys: page.objects.map(({ key }) => key), next: page.next };
  };
  /** What is written waits on: the store takes nothing. */
  const startStuck = async () => {
    const node = await start({ isAway: true });
    for (const key of ['b', 'd', 'f', '\uffee', '🙂']) await node.store.put('data', key, bytesOf(`theirs ${key}`));
    for (const key of ['a', 'c', 'd', 'e', 'x']) await node.port.put('data', key, bytesOf(`ours ${key}`));
    await node.port.put('data', 'b', bytesOf('deleted soon'));
    await node.port.delete('data', 'b');
    Object.assign(node.store, {
      put: wrapped(node.store.put, new StorageError('full', 'no room')),
      head: wrapped(node.store.head, new StorageError('failed', 'not now')),
    });
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ presence: 'forwarding', waiting: 6 });
    return node;
  };

  test('show what waits in its place, and not what is to be deleted', async () => {
    const node = await startStuck();
    expect(await keysOf(node)).toEqual({ keys: ['a', 'c', 'd', 'e', 'f', 'x', '\uffee', '🙂'], next: undefined });
    expect((await node.port.list('data')).objects.find(({ key }) => key === 'd')?.size).toBe('ours d'.length);
    expect((await keysOf(node, { prefix: 'c' })).keys).toEqual(['c']);
    expect((await keysOf(node, { after: 'e' })).keys).toEqual(['f', 'x', '\uffee', '🙂']);
  });

  test('have pages that give each key once', async () => {
    const node = await startStuck();
    const all = (await keysOf(node)).keys;
    for (const limit of [1, 2, 3, 5, 1000]) {
      const seen: string[] = [];
      for (let after: string | undefined = ''; after !== undefined; ) {
        const page = await keysOf(node, { limit, ...(after === '' ? {} : { after }) });
        expect(page.keys.length).toBeLessThanOrEqual(limit);
        seen.push(...page.keys);
        after = page.next;
      }
      expect(seen, `limit ${limit}`).toEqual(all);
    }
  });

  test('of versions show what waits as the latest', async () => {
    const node = await startStuck();
    const versions = await node.port.listVersions('data');
    expect(versions.filter(({ key }) => key === 'd').map(({ latest, size }) => [latest, size])).toEqual([
      [true, 'ours d'.length],
      [false, 'theirs d'.length],
    ]);
    expect(versions.map(({ key }) => key)).toEqual(['a', 'b', 'c', 'd', 'd', 'e', 'f', 'x', '\uffee', '🙂']);
  });
});

describe('what the embedded default held before there was an external', () => {
  const adopt = async (node: Node, key: string) => {
    const { sha256 = '', size } = await node.fallback.head('data', key);
    const entry = { component: 'storage', identity: node.store.backend.identity, place: 'data', key, hash: sha256, size } as const;
    await node.backlog.add([entry], { if_unknown: true });
  };

  test('is read there until it has gone over; what the external holds goes first', async () => {
    const node = await start();
    await node.stop();
    for (const key of ['a', 'b', 'c']) await node.fallback.put('data', key, bytesOf(`ours ${key}`));
    await node.store.put('data', 'b', bytesOf('theirs b'));
    for (const key of ['a', 'b', 'c']) await adopt(node, key);
    const again = await node.restart(true);
    nodes.add(again);
    for (const key of ['a', 'b']) expect(await textOf(again.port, key)).toBe(`ours ${key}`);
    again.link.meddle = (method) => (method === 'put' ? new Promise(() => undefined) : undefined);
    again.link.isAway = false;
    await again.clock.advance(10_000);
    expect(again.forward.status()).toMatchObject({ presence: 'forwarding' });
    expect(await textOf(again.port, 'a')).toBe('ours a');
    expect(await textOf(again.port, 'b')).toBe('theirs b');
    expect((await again.port.list('data')).objects.map(({ key, size }) => [key, size])).toEqual([
      ['a', 6],
      ['b', 8],
      ['c', 6],
    ]);
    await expect(again.port.head('data', 'd')).rejects.toMatchObject({ kind: 'no_such_key' });
    nodes.delete(again);
  });

  test('goes over, and is replaced in the external by what is written later', async () => {
    const node = await start();
    await node.fallback.put('data', 'a', bytesOf('ours a'));
    await node.fallback.put('data', 'b', bytesOf('ours b'));
    for (const key of ['a', 'b']) await adopt(node, key);
    await expect(node.port.put('data', 'a', bytesOf('x'), { if_absent: true })).rejects.toMatchObject({ kind: 'already_exists' });
    await node.port.put('data', 'b', bytesOf('newer b'));
    node.forward.wake();
    await node.clock.advance(0);
    expect(await textOf(node.store, 'a')).toBe('ours a');
    expect(await textOf(node.store, 'b')).toBe('newer b');
    expect(node.forward.status()).toEqual({ presence: 'present', waiting: 0, forwarded: 2, conflicts: 0 });
  });
});

test('a bucket for which something waits is not removed as empty; removed with all that it holds, what waits is told', async () => {
  const node = await start({ isAway: true });
  await node.fallback.ensureBucket('later');
  await node.port.put('later', 'a', bytesOf('one'));
  await node.comeBack();
  await expect(node.port.removeBucket('later', { if_empty: true })).rejects.toMatchObject({ kind: 'not_empty' });
  await node.port.removeBucket('later');
  expect(node.conflicts()).toEqual([expect.stringContaining('later/a: its bucket was removed')]);
  node.forward.wake();
  await node.clock.advance(0);
  expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0, conflicts: 1 });
});

test('an error of the external that is an answer goes to the caller, and nothing is kept', async () => {
  const node = await start();
  Object.assign(node.store, { put: wrapped(node.store.put, new StorageError('unauthorized', 'these keys are wrong')) });
  await expect(node.port.put('data', 'a', bytesOf('one'))).rejects.toMatchObject({ kind: 'unauthorized' });
  expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0 });
});

test('a backlog that can not be written refuses the write, and what it does not know is not acknowledged', async () => {
  const node = await start({ isAway: true });
  Object.assign(node.backlog, { add: () => Promise.reject(new Error('no room left')) });
  await expect(node.port.put('data', 'a', bytesOf('one'))).rejects.toMatchObject({
    kind: 'failed',
    message: expect.stringContaining('no room left'),
  });
  await expect(node.port.get('data', 'a')).rejects.toMatchObject(away);
});

describe('a write that was under way while all that waited went over', () => {
  /** Stores in the embedded default only once `release` is called: by then the external is back, and nothing waits any more. */
  const startLate = async () => {
    const node = await start({ isAway: true });
    const held = Promise.withResolvers<void>();
    const { put } = node.fallback;
    Object.assign(node.fallback, { put: (...args: Parameters<typeof put>) => held.promise.then(() => put(...args)) });
    const writing = node.port.put('data', 'a', bytesOf('one'));
    await node.comeBack();
    expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0 });
    return { node, writing, release: held.resolve };
  };
  const goesOver = async (node: Node) => {
    await node.clock.advance(60_000);
    expect(node.forward.status()).toEqual({ presence: 'present', waiting: 0, forwarded: 1, conflicts: 0 });
    expect(await textOf(node.store, 'a')).toBe('one');
  };

  test('is acknowledged when it is noted, and goes over, though what waits can not be counted just then', async () => {
    const { node, writing, release } = await startLate();
    failOnce(node.backlog, 'counts', 'before');
    release();
    await expect(writing).resolves.toMatchObject({ key: 'a' });
    await goesOver(node);
  });

  test('goes over also when the answer of the disk that it is noted got lost', async () => {
    const { node, writing, release } = await startLate();
    failOnce(node.backlog, 'add', 'after');
    release();
    await expect(writing).rejects.toMatchObject({ kind: 'failed' });
    await goesOver(node);
  });
});

test('a conflict is told once, though what waits can not be counted just then', async () => {
  const node = await start({ isAway: true });
  await node.store.put('data', 'a', bytesOf('theirs'));
  await node.port.put('data', 'a', bytesOf('ours'));
  const { settle } = node.backlog;
  const settleThenFail: typeof settle = async (...args) => {
    await settle(...args);
    failOnce(node.backlog, 'counts', 'before');
  };
  Object.assign(node.backlog, { settle: settleThenFail });
  await node.comeBack();
  expect(node.conflicts()).toEqual([expect.stringContaining('data/a: the external holds another object')]);
  expect(node.forward.status()).toEqual({ presence: 'present', waiting: 0, forwarded: 0, conflicts: 1 });
});

test('many writers to one key while all goes over end with one of their bodies, and no conflict', async () => {
  const node = await start({ isAway: true });
  await node.port.put('data', 'a', bytesOf('first'));
  node.link.isAway = false;
  const texts = Array.from({ length: 20 }, (_, index) => `text ${index}`);
  const writing = texts.map(async (text, index) => {
    await node.clock.sleep(index * 30);
    await node.port.put('data', 'a', bytesOf(text));
  });
  await node.clock.advance(60_000);
  await Promise.all(writing);
  await until('all has gone over', async () => node.forward.status().presence === 'present');
  expect(await textOf(node.store, 'a')).toBe(texts.at(-1));
  expect(node.conflicts()).toEqual([]);
});

function wrapped<Args extends unknown[], T>(_real: (...args: Args) => Promise<T>, error: StorageError) {
  return (..._args: Args): Promise<T> => Promise.reject(error);
}

/** The next call of this kind fails, before it does anything or after it has done all. */
function failOnce(backlog: Backlog, method: 'add' | 'counts', when: 'before' | 'after'): void {
  const real = backlog[method] as (...args: unknown[]) => Promise<unknown>;
  const failing = async (...args: unknown[]) => {
    Object.assign(backlog, { [method]: real });
    if (when === 'after') await real(...args);
    throw new Error('the disk does not work');
  };
  Object.assign(backlog, { [method]: failing });
}
