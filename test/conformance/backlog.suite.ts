import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Backlog, Entry, NewEntry, Target } from '../../shared/ports/backlog.ts';

export interface BacklogHarness {
  readonly backlog: Backlog;
  dispose(): Promise<void>;
}

const HERE: Target = { component: 'storage', identity: 'https://one.example' };
const OTHERS: readonly Target[] = [
  { component: 'storage', identity: 'https://other.example' },
  { component: 'vector', identity: 'https://one.example' },
];

/** What every `Backlog` must do. */
export function backlogSuite(name: string, makeHarness: () => Promise<BacklogHarness>): void {
  describe(`backlog: ${name}`, () => {
    let harness: BacklogHarness;
    beforeEach(async () => {
      harness = await makeHarness();
    });
    afterEach(() => harness.dispose());
    const backlog = () => harness.backlog;
    describe('order', () => orderTests(backlog));
    describe('what was there before', () => unknownTests(backlog));
    describe('ends', () => endTests(backlog));
    describe('lists by key', () => listTests(backlog));
    describe('other externals', () => otherTests(backlog));
    describe('another address', () => moveTests(backlog));
  });
}

type Get = () => Backlog;

function orderTests(backlog: Get): void {
  test('a new one holds nothing', async () => {
    expect(await backlog().next(HERE, 10)).toEqual([]);
    expect(await backlog().waiting(HERE, [{ place: 'place', key: 'a' }])).toEqual([]);
    expect(await backlog().conflicts(HERE, 10)).toEqual([]);
    expect(await backlog().counts(HERE)).toEqual({ waiting: 0, forwarded: 0, conflicts: 0 });
  });

  test('gives back what was added, in that order', async () => {
    await backlog().add([entry('b'), entry('a', { hash: 'ff', size: 7 })]);
    await backlog().add([entry('c', { deleted: true })]);
    await backlog().add([]);
    const next = await backlog().next(HERE, 10);
    expect(next).toEqual([
      { ...entry('b'), number: expect.any(Number), state: 'waiting', at: expect.stringMatching(/^\d{4}-.*Z$/) },
      { ...entry('a', { hash: 'ff', size: 7 }), number: expect.any(Number), state: 'waiting', at: expect.any(String) },
      { ...entry('c', { deleted: true }), number: expect.any(Number), state: 'waiting', at: expect.any(String) },
    ]);
    expect(next.map(({ number }) => number)).toEqual(next.map(({ number }) => number).toSorted((one, other) => one - other));
    expect(await backlog().next(HERE, 2)).toEqual(next.slice(0, 2));
    expect(await backlog().next(HERE, 2, next[0]?.number)).toEqual(next.slice(1));
    expect(
      await backlog().waiting(HERE, [
        { place: 'place', key: 'c' },
        { place: 'place', key: 'none' },
      ]),
    ).toEqual(next.slice(2));
    expect(await backlog().counts(HERE)).toEqual({ waiting: 3, forwarded: 0, conflicts: 0 });
  });

  test('one that is written again goes to the end with another number', async () => {
    await backlog().add([entry('a'), entry('b')]);
    const [first] = await backlog().next(HERE, 1);
    await backlog().add([entry('a', { hash: '22' }), entry('c'), entry('c', { hash: '33' })]);
    const next = await backlog().next(HERE, 10);
    expect(next.map(({ key, hash }) => [key, hash])).toEqual([
      ['b', '11'],
      ['a', '22'],
      ['c', '33'],
    ]);
    expect(next[1]?.number).toBeGreaterThan(first?.number ?? Number.POSITIVE_INFINITY);
    expect(await backlog().counts(HERE)).toMatchObject({ waiting: 3 });
  });

  test('what waits for one external is nothing to another', async () => {
    await backlog().add([entry('a'), ...OTHERS.map((target) => ({ ...entry('a', { hash: '99' }), ...target }))]);
    for (const target of OTHERS) {
      const [own] = await backlog().next(target, 10);
      await backlog().settle(HERE, [{ number: own?.number ?? 0, state: 'forwarded' }]);
      expect(await backlog().next(target, 10)).toMatchObject([{ ...target, hash: '99' }]);
      await backlog().complete(target);
    }
    expect(await backlog().next(HERE, 10)).toMatchObject([{ hash: '11' }]);
    expect(await backlog().counts(HERE)).toMatchObject({ waiting: 1 });
    expect(await backlog().isComplete(HERE)).toBe(false);
  });

  test('keys of any spelling are apart', async () => {
    const keys = ['a', 'A', 'a ', "it's", '%', '_', 'ünïcödé', 'x'.repeat(1024), 'a\nb', '🙂'];
    await backlog().add(keys.map((key) => entry(key)));
    await backlog().add([{ ...entry('a'), place: 'a' }]);
    expect(await backlog().counts(HERE)).toMatchObject({ waiting: keys.length + 1 });
    for (const key of keys) expect(await backlog().waiting(HERE, [{ place: 'place', key }])).toMatchObject([{ key }]);
  });

  test('many at once are all there', async () => {
    const lanes = Array.from({ length: 8 }, (_, lane) => Array.from({ length: 256 }, (_, index) => entry(`${lane}-${index}`)));
    await Promise.all(lanes.map((lane) => backlog().add(lane)));
    expect(await backlog().counts(HERE)).toMatchObject({ waiting: 8 * 256 });
    const all = await everything(backlog());
    for (const lane of lanes) {
      const names = new Set(lane.map(({ key }) => key));
      expect(all.filter(({ key }) => names.has(key)).map(({ key }) => key)).toEqual(lane.map(({ key }) => key));
    }
  });
}

function unknownTests(backlog: Get): void {
  const add = (entries: readonly NewEntry[]) => backlog().add(entries, { if_unknown: true });
  const settleAll = async (state: 'forwarded' | 'conflict') =>
    backlog().settle(
      HERE,
      (await everything(backlog())).map(({ number }) => ({ number, state })),
    );

  test('is put at the end and told apart', async () => {
    await backlog().add([entry('a')]);
    await add([entry('b')]);
    const next = await backlog().next(HERE, 10);
    expect(next).toMatchObject([{ key: 'a' }, { key: 'b', adopted: true }]);
    expect(next[0]).not.toHaveProperty('adopted');
    await backlog().add([entry('b', { hash: '22' })]);
    expect((await backlog().next(HERE, 10))[1]).not.toHaveProperty('adopted');
  });

  test('takes nothing back that waits, is a conflict or has gone already', async () => {
    await backlog().add([entry('a')]);
    const before = await backlog().next(HERE, 10);
    await add([entry('a', { hash: '22' })]);
    expect(await backlog().next(HERE, 10)).toEqual(before);
    await settleAll('conflict');
    await add([entry('a', { hash: '22' })]);
    expect(await backlog().next(HERE, 10)).toEqual([]);
    await backlog().add([entry('a')]);
    await settleAll('forwarded');
    await add([entry('a')]);
    expect(await backlog().next(HERE, 10)).toEqual([]);
    await add([entry('a', { hash: '22' })]);
    expect(await backlog().next(HERE, 10)).toMatchObject([{ key: 'a', hash: '22' }]);
    expect(await backlog().counts(HERE)).toEqual({ waiting: 1, forwarded: 0, conflicts: 0 });
  });

  test('what waits for another external does not go to this one as well', async () => {
    const other = OTHERS[0] ?? expect.fail();
    await backlog().add([{ ...entry('a'), ...other }]);
    await add([entry('a'), entry('b')]);
    expect(await backlog().next(HERE, 10)).toMatchObject([{ key: 'b' }]);
  });

  test('is said to be complete once, and stays so', async () => {
    expect(await backlog().isComplete(HERE)).toBe(false);
    for (let time = 0; time < 2; time += 1) await backlog().complete(HERE);
    expect(await backlog().isComplete(HERE)).toBe(true);
    expect(await backlog().isComplete(HERE, 'place')).toBe(false);
  });

  test('is said of one place, which says nothing of the others', async () => {
    for (let time = 0; time < 2; time += 1) await backlog().complete(HERE, 'place');
    expect(await backlog().isComplete(HERE, 'place')).toBe(true);
    expect(await backlog().isComplete(HERE, 'other')).toBe(false);
    expect(await backlog().isComplete(HERE)).toBe(false);
    for (const other of OTHERS) expect(await backlog().isComplete(other, 'place')).toBe(false);
  });
}

function endTests(backlog: Get): void {
  test('what ended waits no more, and is counted', async () => {
    await backlog().add([entry('a'), entry('b'), entry('c')]);
    const [a, b] = (await backlog().next(HERE, 10)).map(({ number }) => number);
    await backlog().settle(HERE, [
      { number: a ?? 0, state: 'forwarded' },
      { number: b ?? 0, state: 'conflict', detail: 'another object is there' },
    ]);
    await backlog().settle(HERE, []);
    expect((await backlog().next(HERE, 10)).map(({ key }) => key)).toEqual(['c']);
    expect(
      await backlog().waiting(
        HERE,
        ['a', 'b', 'c'].map((key) => ({ place: 'place', key })),
      ),
    ).toMatchObject([{ key: 'c' }]);
    expect(await backlog().conflicts(HERE, 10)).toMatchObject([{ key: 'b', state: 'conflict', detail: 'another object is there' }]);
    expect(await backlog().counts(HERE)).toEqual({ waiting: 1, forwarded: 1, conflicts: 1 });
  });

  test('one that was replaced meanwhile waits on', async () => {
    await backlog().add([entry('a')]);
    const [before] = await backlog().next(HERE, 1);
    await backlog().add([entry('a', { hash: '22' })]);
    await backlog().settle(HERE, [{ number: before?.number ?? 0, state: 'forwarded' }]);
    expect(await backlog().next(HERE, 10)).toMatchObject([{ key: 'a', hash: '22' }]);
    expect(await backlog().counts(HERE)).toEqual({ waiting: 1, forwarded: 0, conflicts: 0 });
  });

  test('one that ended and is written again waits again, under a number of its own', async () => {
    for (const state of ['forwarded', 'conflict'] as const) {
      await backlog().add([entry(state)]);
      const [first] = await backlog().next(HERE, 1);
      await backlog().settle(HERE, [{ number: first?.number ?? 0, state, detail: 'why' }]);
      await backlog().add([entry(state)]);
      const [again] = await backlog().next(HERE, 1);
      expect(again?.number).toBeGreaterThan(first?.number ?? Number.POSITIVE_INFINITY);
      expect(again).not.toHaveProperty('detail');
      expect(await backlog().counts(HERE)).toMatchObject({ waiting: 1, conflicts: 0 });
      await backlog().settle(HERE, [{ number: again?.number ?? 0, state: 'forwarded' }]);
    }
  });

  test('conflicts come oldest first, and no more than asked for', async () => {
    await backlog().add(['b', 'a', 'c'].map((key) => entry(key)));
    const all = await backlog().next(HERE, 10);
    for (const { number } of all) await backlog().settle(HERE, [{ number, state: 'conflict', detail: `number ${number}` }]);
    expect((await backlog().conflicts(HERE, 2)).map(({ key }) => key)).toEqual(['b', 'a']);
    expect((await backlog().conflicts(HERE, 2, all[0]?.number)).map(({ key }) => key)).toEqual(['a', 'c']);
    expect(await backlog().conflicts(HERE, 2, all[2]?.number)).toEqual([]);
  });

  test('a conflict is found by its thing, until it ends or the thing is written again', async () => {
    await backlog().add(['a', 'b', 'c'].map((key) => entry(key)));
    const things = ['c', 'a', 'b', 'none'].map((key) => ({ place: 'place', key }));
    const [a, , c] = await backlog().next(HERE, 10);
    await backlog().settle(
      HERE,
      [a, c].map((one) => ({ number: one?.number ?? 0, state: 'conflict', detail: 'why' })),
    );
    expect(await backlog().conflicting(HERE, things)).toMatchObject([
      { key: 'c', detail: 'why' },
      { key: 'a', state: 'conflict' },
    ]);
    expect(await backlog().conflicting({ ...HERE, identity: 'https://other.example' }, things)).toEqual([]);
    await backlog().settle(HERE, [{ number: a?.number ?? 0, state: 'forwarded', detail: 'given up' }]);
    await backlog().add([entry('c', { hash: '22' })]);
    expect(await backlog().conflicting(HERE, things)).toEqual([]);
    expect(await backlog().counts(HERE)).toEqual({ waiting: 2, forwarded: 1, conflicts: 0 });
  });
}

function otherTests(backlog: Get): void {
  test('are named with what waits for them, those of the same component alone', async () => {
    expect(await backlog().elsewhere(HERE)).toEqual([]);
    await backlog().add([entry('a'), entry('b')]);
    for (const target of OTHERS) await backlog().add([entry('a', target), entry('c', target)]);
    expect(await backlog().elsewhere(HERE)).toEqual([{ identity: 'https://other.example', waiting: 2 }]);
    const [other] = OTHERS as [Target];
    for (const { number } of await backlog().next(other, 10)) await backlog().settle(other, [{ number, state: 'forwarded' }]);
    expect(await backlog().elsewhere(HERE)).toEqual([]);
    expect(await backlog().elsewhere(other)).toEqual([{ identity: HERE.identity, waiting: 2 }]);
  });
}

function moveTests(backlog: Get): void {
  const other = OTHERS[0] ?? expect.fail();
  const end = async (target: Target, key: string, state: 'forwarded' | 'conflict') => {
    const [found] = await backlog().waiting(target, [{ place: 'place', key }]);
    await backlog().settle(target, [{ number: found?.number ?? 0, state, detail: 'why' }]);
  };

  test('takes what waits, or is a conflict, in its order, as what may be older than what is there', async () => {
    await backlog().add(['c', 'a', 'b', 'gone'].map((key) => entry(key, other)));
    await backlog().add([entry('d', { ...other, deleted: true }), entry('x', OTHERS[1])]);
    await end(other, 'a', 'conflict');
    await end(other, 'gone', 'forwarded');
    expect(await backlog().readdress(other, HERE)).toBe(4);
    const moved = await backlog().next(HERE, 10);
    expect(moved.map(({ key, deleted }) => `${key}${deleted === true ? ' deleted' : ''}`)).toEqual(['c', 'a', 'b', 'd deleted']);
    for (const one of moved) expect(one).toMatchObject({ ...HERE, state: 'waiting', adopted: true });
    expect(moved[1]).not.toHaveProperty('detail');
    expect(await backlog().counts(other)).toEqual({ waiting: 0, forwarded: 1, conflicts: 0 });
    expect(await backlog().counts(HERE)).toEqual({ waiting: 4, forwarded: 0, conflicts: 0 });
    expect(await backlog().elsewhere(HERE)).toEqual([]);
    expect(await backlog().readdress(other, HERE)).toBe(0);
  });

  test('lets what is open for the new one stay, and what went over before go once more', async () => {
    await backlog().add(['waits', 'conflicts', 'went'].map((key) => entry(key)));
    await end(HERE, 'conflicts', 'conflict');
    await end(HERE, 'went', 'forwarded');
    await backlog().add(['waits', 'conflicts', 'went'].map((key) => entry(key, { ...other, hash: '22' })));
    expect(await backlog().readdress(other, HERE)).toBe(1);
    expect((await backlog().next(HERE, 10)).map(({ key, hash }) => `${key} ${hash}`)).toEqual(['waits 11', 'went 22']);
    expect(await backlog().conflicts(HERE, 10)).toMatchObject([{ key: 'conflicts', hash: '11' }]);
    expect(await backlog().counts(other)).toEqual({ waiting: 0, forwarded: 0, conflicts: 0 });
  });

  test('changes nothing from one to itself', async () => {
    await backlog().add([entry('a')]);
    const before = await backlog().next(HERE, 10);
    expect(await backlog().readdress(HERE, HERE)).toBe(0);
    expect(await backlog().next(HERE, 10)).toEqual(before);
  });
}

function listTests(backlog: Get): void {
  const keysOf = async (options: { prefix?: string; after?: string; limit?: number }) =>
    (await backlog().list(HERE, 'place', { limit: 100, ...options })).map(({ key }) => key);

  test('goes by the UTF-8 bytes of the key', async () => {
    // In UTF-16 order the last two would change places.
    const keys = ['B', 'a-', 'a/b', 'a0', 'b', 'z', 'é', '\uffee', '🙂'];
    await backlog().add(keys.toReversed().map((key) => entry(key)));
    await backlog().add([{ ...entry('a'), place: 'elsewhere' }]);
    expect(await keysOf({})).toEqual(keys);
    expect(await keysOf({ limit: 3 })).toEqual(keys.slice(0, 3));
    expect(await keysOf({ after: 'a/b' })).toEqual(keys.slice(3));
    expect(await keysOf({ after: 'a/c' })).toEqual(keys.slice(3));
    expect(await keysOf({ after: '🙂' })).toEqual([]);
  });

  test('takes a prefix as it is written, and only what waits', async () => {
    await backlog().add(['log/1', 'log/2', 'log_1', 'logs', 'Log/3', '%a'].map((key) => entry(key)));
    expect(await keysOf({ prefix: 'log/' })).toEqual(['log/1', 'log/2']);
    expect(await keysOf({ prefix: 'log', after: 'log/2' })).toEqual(['log_1', 'logs']);
    expect(await keysOf({ prefix: '%' })).toEqual(['%a']);
    const [first] = await backlog().next(HERE, 1);
    await backlog().settle(HERE, [{ number: first?.number ?? 0, state: 'forwarded' }]);
    expect(await keysOf({ prefix: 'log/' })).toEqual(['log/2']);
  });
}

function entry(key: string, about: Partial<NewEntry> = {}): NewEntry {
  return { ...HERE, place: 'place', key, hash: '11', size: 1, ...about };
}

async function everything(backlog: Backlog): Promise<Entry[]> {
  return backlog.next(HERE, Number.MAX_SAFE_INTEGER);
}
