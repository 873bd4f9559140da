import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Backlog } from '../../../shared/ports/backlog.ts';
import { type AdoptDeps, createAdoption, type Held } from '../../../shared/reconcile/fall-forward/adopt.ts';
import { objectsHeld, vectorsHeld } from '../../../shared/reconcile/fall-forward/held.ts';
import { createMemoryBacklog } from '../../support/memory-backlog.ts';
import { memoryObjectStorage } from '../../support/memory-object-storage.ts';
import { memoryVectorIndex } from '../../support/memory-vector-index.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const TARGET = { component: 'storage', identity: 'http://192.0.2.9:9000' } as const;

let clock: SimulatedClock;
let backlog: Backlog;
beforeEach(() => {
  clock = new SimulatedClock();
  backlog = createMemoryBacklog(clock);
});

const adoption = (page: AdoptDeps['page'], more: Partial<AdoptDeps> = {}) =>
  createAdoption({ target: TARGET, backlog, page, clock, random: seededRandom(), log: recordingLog(), ...more });
const waiting = async () => (await backlog.next(TARGET, 10_000)).map(({ place, key }) => `${place}/${key}`);
const never = new AbortController().signal;

/** Pages of two, of places that hold numbered keys. */
function numbered(places: Readonly<Record<string, number>>): AdoptDeps['page'] {
  return async (place, after = '') => {
    const all = Array.from({ length: places[place] ?? 0 }, (_, index): Held => ({ key: `k${index}`, hash: `${index}`, size: 1 }));
    return all.filter(({ key }) => key > after).slice(0, 2);
  };
}

describe('what an embedded default held before its external was configured', () => {
  test('is entered page by page, once, and that is noted', async () => {
    const one = adoption(numbered({ a: 5, b: 1, other: 3 }));
    one.want(['a', 'b', 'none']);
    await one.run(never);
    expect(await waiting()).toEqual(['a/k0', 'a/k1', 'a/k2', 'a/k3', 'a/k4', 'b/k0']);
    expect(await backlog.isComplete(TARGET)).toBe(true);
  });

  test('is waited for until the profile tells what goes over', async () => {
    const one = adoption(numbered({ a: 1 }));
    const run = one.run(never);
    expect(await waiting()).toEqual([]);
    one.want(['a']);
    await run;
    expect(await waiting()).toEqual(['a/k0']);
  });

  test('does not take the place of what was written meanwhile', async () => {
    await backlog.add([{ ...TARGET, place: 'a', key: 'k0', hash: 'newer', size: 2 }]);
    const one = adoption(numbered({ a: 2 }));
    one.want(['a']);
    await one.run(never);
    expect((await backlog.next(TARGET, 10)).map(({ key, hash }) => `${key} ${hash}`)).toEqual(['k0 newer', 'k1 1']);
  });

  test('is tried again when it can not be read, and after a while nobody waits for it', async () => {
    let isBroken = true;
    const pages = numbered({ a: 3 });
    const one = adoption((place, after) =>
      isBroken && after !== undefined ? Promise.reject(new Error('a bad disk')) : pages(place, after),
    );
    one.want(['a']);
    const run = one.run(never);
    let tried = false;
    void one.tried.then(() => {
      tried = true;
    });
    await clock.advance(60_000);
    expect(tried).toBe(true);
    expect(await backlog.isComplete(TARGET)).toBe(false);
    isBroken = false;
    await clock.advance(120_000);
    await run;
    expect(await waiting()).toEqual(['a/k0', 'a/k1', 'a/k2']);
  });

  test('is left where it is by a node that stops in the middle, and the next start enters the rest', async () => {
    const ending = new AbortController();
    const pages = numbered({ a: 6 });
    const stopped = adoption(async (place, after) => {
      if (after === 'k3') ending.abort();
      return pages(place, after);
    });
    stopped.want(['a']);
    await stopped.run(ending.signal);
    expect(await backlog.isComplete(TARGET)).toBe(false);
    const next = adoption(pages);
    next.want(['a']);
    await next.run(never);
    expect((await waiting()).length).toBe(6);
    expect(new Set(await waiting()).size).toBe(6);
  });

  test('leaves nothing behind on the signal of the node with each reconcile that names the same places', async () => {
    const life = new AbortController();
    let looked = 0;
    const one = adoption(numbered({ a: 1 }), {
      backlog: {
        add: (entries, options) => backlog.add(entries, options),
        complete: (target, place) => backlog.complete(target, place),
        async isComplete(target, place) {
          if (place === undefined) looked += 1;
          return backlog.isComplete(target, place);
        },
      },
    });
    const run = one.follow(life.signal);
    for (let reconcile = 1; reconcile <= 20; reconcile += 1) {
      one.want(['a']);
      await vi.waitFor(() => expect(looked).toBe(reconcile), { interval: 1, timeout: 120_000 });
    }
    expect(getEventListeners(life.signal, 'abort').length).toBeLessThanOrEqual(1);
    life.abort();
    await run;
  });

  test('is the latest version of each object', async () => {
    const storage = memoryObjectStorage(clock);
    await storage.ensureBucket('captures');
    await storage.put('captures', 'a', new TextEncoder().encode('old'));
    const { sha256 } = await storage.put('captures', 'a', new TextEncoder().encode('new'));
    await storage.put('captures', 'gone', new Uint8Array(1));
    await storage.delete('captures', 'gone');
    const one = adoption(objectsHeld(storage));
    one.want(['captures', 'not-there']);
    await one.run(never);
    expect(await backlog.next(TARGET, 10)).toMatchObject([{ place: 'captures', key: 'a', hash: sha256, size: 3 }]);
  });

  test('is each vector of a class', async () => {
    const index = memoryVectorIndex();
    await index.ensureClass({ name: 'Frame', dimensions: 2, properties: [{ name: 'camera', type: 'text' }] });
    const ids = Array.from({ length: 300 }, (_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);
    await index.upsert(
      'Frame',
      ids.map((id) => ({ id, vector: [1, 0], meta: { camera: 'door' } })),
    );
    const one = adoption(vectorsHeld(index), { target: { component: 'vector', identity: 'w' } });
    one.want(['Frame', 'None']);
    await one.run(never);
    expect((await backlog.next({ component: 'vector', identity: 'w' }, 1000)).map(({ key }) => key)).toEqual(ids);
  });
});
