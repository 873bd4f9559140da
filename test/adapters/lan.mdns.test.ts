import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe } from 'vitest';
import { createMdnsLan } from '../../runtime-node/adapters/mdns.ts';
import type { Lan } from '../../shared/ports/lan.ts';
import { lanSuite } from '../conformance/lan.suite.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import { until } from '../support/until.ts';

const LOOPBACK = Object.entries(networkInterfaces()).find(([, infos = []]) =>
  infos.some(({ internal, family }) => internal && family === 'IPv4'),
)?.[0];

describe.skipIf(LOOPBACK === undefined)('the LAN over multicast DNS, on loopback', () => {
  let machines = 0;
  lanSuite(async (use) => {
    const joined: Lan[] = [];
    try {
      await use({
        join: async () => {
          machines += 1;
          const random = seededRandom(machines);
          const lan = createMdnsLan({ clock: systemClock, random, log: recordingLog(), interfaces: [LOOPBACK ?? ''] });
          joined.push(lan);
          return lan;
        },
        during: (_, work) => work,
        until: async (what, look) => void (await until(what, async () => look())),
      });
    } finally {
      await Promise.all(joined.map((lan) => lan.close()));
      await sleep(50);
    }
  });
});
