import { describe, expect, test } from 'vitest';
import type { Advert } from '../../shared/ports/lan.ts';
import { anAdvert, lanSuite } from '../conformance/lan.suite.ts';
import { MemoryLan } from '../support/memory-lan.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

function network() {
  const clock = new SimulatedClock();
  const log = recordingLog();
  return { clock, log, lan: new MemoryLan({ clock, log }) };
}

describe('the LAN in memory', () => {
  lanSuite(async (use) => {
    const { clock, lan } = network();
    let machines = 0;
    await use({
      join: async () => {
        machines += 1;
        return lan.join(`10.0.0.${machines}`);
      },
      during: async (ms, work) => {
        await clock.advance(ms);
        return work;
      },
      until: async (what, look) => {
        for (let round = 0; round < 100 && !look(); round += 1) await clock.advance(10);
        if (!look()) throw new Error(`${what} did not come`);
      },
    });
  });

  test('loses, delays and doubles as it is told to, by direction', async () => {
    const { clock, lan } = network();
    const [a, b] = [lan.join('a'), lan.join('b')];
    const told: string[] = [];
    for (const [name, one] of Object.entries({ a, b })) one.onAdvert(({ node_id }) => told.push(`${name} heard ${node_id}`));
    lan.path = (from) => (from === 'a' ? [] : [700, 900]);
    await a.advertise(anAdvert('node-a'));
    await b.advertise(anAdvert('node-b'));
    await clock.advance(699);
    expect(told).toEqual([]);
    await clock.advance(10_000);
    expect(told).toEqual(['a heard node-b']);
  });

  test('forgets a machine that crashed after its time, and tells of it anew when it is back', async () => {
    const { clock, lan } = network();
    const [a, b] = [lan.join('a'), lan.join('b')];
    const told: Advert[] = [];
    b.onAdvert((advert) => told.push(advert));
    await a.advertise(anAdvert('node-a'));
    await clock.advance(5000);
    lan.crash('a');
    await clock.advance(120_000);
    expect(await ended(clock, b.browse(1000))).toEqual([]);
    await lan.join('a').advertise(anAdvert('node-a'));
    await clock.advance(10);
    expect(told).toEqual([anAdvert('node-a'), anAdvert('node-a')]);
  });

  test('a machine without a network is refused, and says it when the network is back', async () => {
    const { clock, lan } = network();
    const [a, b] = [lan.join('a'), lan.join('b')];
    lan.plug('a', false);
    await expect(a.advertise(anAdvert('node-a'))).rejects.toMatchObject({ name: 'LanError' });
    expect(await ended(clock, b.browse(1000))).toEqual([]);
    lan.plug('a', true);
    expect(await ended(clock, b.browse(1000))).toEqual([anAdvert('node-a')]);
  });
});

async function ended(clock: SimulatedClock, adverts: AsyncIterable<Advert>): Promise<Advert[]> {
  const found: Advert[] = [];
  const reading = (async () => {
    for await (const advert of adverts) found.push(advert);
  })();
  await clock.advance(1000);
  await reading;
  return found;
}
