import { describe, expect, test } from 'vitest';
import type { Advert, Lan } from '../../shared/ports/lan.ts';

/** One network under test. */
export interface LanWorld {
  /** A machine more on the network. */
  join(): Promise<Lan>;
  /** Lets `ms` milliseconds pass while `work` is under way, and gives what it gave. */
  during<T>(ms: number, work: Promise<T>): Promise<T>;
  /** Lets things happen until `look` is true; fails the test when they do not. */
  until(what: string, look: () => boolean): Promise<void>;
}

/** Runs the contract of `Lan`; `open` makes a network, hands it over, and clears it away. */
export function lanSuite(open: (use: (world: LanWorld) => Promise<void>) => Promise<void>): void {
  const on = (name: string, use: (world: LanWorld) => Promise<void>) => test(name, () => open(use));
  describe('browse', () => browseCases(on));
  describe('advertise', () => advertiseCases(on));
  describe('onAdvert', () => listenCases(on));
  describe('close', () => closeCases(on));
}

type On = (name: string, use: (world: LanWorld) => Promise<void>) => void;

export function anAdvert(node_id: string, more: Partial<Advert> = {}): Advert {
  return { fleet: 'default', site: 'default', node_id, epoch: 1, url: 'http://192.0.2.7:7420', signature: 'c2lnbmF0dXJl', ...more };
}

async function all(adverts: AsyncIterable<Advert>): Promise<Advert[]> {
  const found = [];
  for await (const advert of adverts) found.push(advert);
  return found;
}

/** Browses for a second and gives what was found, by node_id. */
async function browsed({ during }: LanWorld, lan: Lan): Promise<Advert[]> {
  const found = await during(1000, all(lan.browse(1000)));
  return found.sort((a, b) => (a.node_id < b.node_id ? -1 : 1));
}

/** Waits until `reader` has heard exactly this; another suite's node may not be on the same network. */
async function heard(world: LanWorld, reader: Lan, expected: readonly Advert[]): Promise<void> {
  for (let round = 0; round < 10; round += 1) {
    const found = await browsed(world, reader);
    if (JSON.stringify(found) === JSON.stringify(expected)) return;
  }
  expect(await browsed(world, reader)).toEqual(expected);
}

function browseCases(on: On): void {
  on('ends after its time when nobody is there', async (world) => {
    expect(await browsed(world, await world.join())).toEqual([]);
  });

  on('finds what others advertise, whole, and not itself', async (world) => {
    const [a, b, c] = [await world.join(), await world.join(), await world.join()];
    const [of_a, of_b] = [anAdvert('node-a'), anAdvert('node.b', { epoch: 900_000, site: 'shop-7', url: 'http://192.0.2.8:1' })];
    await a.advertise(of_a);
    await b.advertise(of_b);
    await heard(world, c, [of_a, of_b]);
    await heard(world, a, [of_b]);
  });

  on('carries ids of the longest kind, and two that differ at their end only', async (world) => {
    const [a, b, c] = [await world.join(), await world.join(), await world.join()];
    const [of_a, of_b] = [anAdvert(`${'x'.repeat(127)}1`), anAdvert(`${'x'.repeat(127)}2`)];
    await a.advertise(of_a);
    await b.advertise(of_b);
    await heard(world, c, [of_a, of_b]);
  });

  on('yields an advert once in one browse, however often it arrives', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    await a.advertise(anAdvert('node-a'));
    await heard(world, b, [anAdvert('node-a')]);
    const found = await world.during(3000, all(b.browse(3000)));
    expect(found).toEqual([anAdvert('node-a')]);
  });

  on('ends at once when its signal aborts', async (world) => {
    const [a, stop] = [await world.join(), new AbortController()];
    const found = all(a.browse(600_000, stop.signal));
    stop.abort();
    expect(await world.during(50, found)).toEqual([]);
    expect(await world.during(50, all(a.browse(600_000, stop.signal)))).toEqual([]);
  });

  on('ends when the consumer has what it wanted', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    await a.advertise(anAdvert('node-a'));
    await heard(world, b, [anAdvert('node-a')]);
    const first = async () => {
      for await (const advert of b.browse(600_000)) return advert;
      return undefined;
    };
    expect(await world.during(50, first())).toEqual(anAdvert('node-a'));
  });

  on('serves several at once', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    await a.advertise(anAdvert('node-a'));
    await heard(world, b, [anAdvert('node-a')]);
    const both = await world.during(1000, Promise.all([all(b.browse(1000)), all(b.browse(1000))]));
    expect(both).toEqual([[anAdvert('node-a')], [anAdvert('node-a')]]);
  });
}

function advertiseCases(on: On): void {
  on('replaces what was advertised', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    await a.advertise(anAdvert('node-a'));
    await heard(world, b, [anAdvert('node-a')]);
    const changed = anAdvert('node-a', { epoch: 2, url: 'http://192.0.2.9:8000', signature: 'b3RoZXI' });
    await a.advertise(changed);
    await heard(world, b, [changed]);
  });

  on('says goodbye, and may come back', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    await a.advertise(undefined);
    await a.advertise(anAdvert('node-a'));
    await heard(world, b, [anAdvert('node-a')]);
    await a.advertise(undefined);
    await heard(world, b, []);
    await a.advertise(anAdvert('node-a', { epoch: 7 }));
    await heard(world, b, [anAdvert('node-a', { epoch: 7 })]);
  });

  on('shows a clone beside the node whose id it has', async (world) => {
    const [a, clone, c] = [await world.join(), await world.join(), await world.join()];
    const [real, copy] = [anAdvert('node-a', { url: 'http://192.0.2.7:7420' }), anAdvert('node-a', { url: 'http://192.0.2.8:7421' })];
    await a.advertise(real);
    await heard(world, c, [real]);
    await clone.advertise(copy);
    const urls = new Set<string>();
    for (let round = 0; round < 10 && urls.size < 2; round += 1) for (const { url } of await browsed(world, c)) urls.add(url);
    expect([...urls].sort()).toEqual([real.url, copy.url]);
  });
}

function listenCases(on: On): void {
  on('tells of adverts that nobody asked for, again when they change, and not when they are only repeated', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    const told: Advert[] = [];
    b.onAdvert((advert) => told.push(advert));
    await a.advertise(anAdvert('node-a'));
    await world.until('the first advert', () => told.length > 0);
    await browsed(world, b);
    await a.advertise(anAdvert('node-a', { epoch: 2 }));
    await world.until('the changed advert', () => told.length > 1);
    await browsed(world, b);
    expect(told).toEqual([anAdvert('node-a'), anAdvert('node-a', { epoch: 2 })]);
  });

  on('never tells of its own advert', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    const told: Advert[] = [];
    a.onAdvert((advert) => told.push(advert));
    await a.advertise(anAdvert('node-a'));
    await b.advertise(anAdvert('node-b'));
    await world.until('the other advert', () => told.length > 0);
    expect(told).toEqual([anAdvert('node-b')]);
  });

  on('goes on when a listener throws, and ends when it was told to', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    const told: string[] = [];
    b.onAdvert(() => {
      throw new Error('a listener that fails');
    });
    const end = b.onAdvert(({ node_id, epoch }) => told.push(`${node_id} ${epoch}`));
    await a.advertise(anAdvert('node-a'));
    await world.until('the advert', () => told.length === 1);
    end();
    end();
    const later: number[] = [];
    b.onAdvert(({ epoch }) => later.push(epoch));
    await a.advertise(anAdvert('node-a', { epoch: 2 }));
    await world.until('the changed advert', () => later.length === 1);
    expect(told).toEqual(['node-a 1']);
  });
}

function closeCases(on: On): void {
  on('says goodbye, ends what browses, and does nothing the second time', async (world) => {
    const [a, b] = [await world.join(), await world.join()];
    await a.advertise(anAdvert('node-a'));
    await heard(world, b, [anAdvert('node-a')]);
    const browsing = all(a.browse(600_000));
    await world.during(50, a.close());
    await a.close();
    expect(await world.during(50, browsing)).toEqual([]);
    await heard(world, b, []);
  });

  on('advertises nothing any more', async (world) => {
    const a = await world.join();
    await world.during(50, a.close());
    await expect(a.advertise(anAdvert('node-a'))).rejects.toThrow('closed');
  });
}
