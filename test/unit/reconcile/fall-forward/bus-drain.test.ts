import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLocalBus } from '../../../../runtime-node/adapters/bus-local.ts';
import type { EmbeddedBus } from '../../../../shared/ports/event-bus.ts';
import { drain } from '../../../../shared/reconcile/fall-forward/bus-drain.ts';
import { recordingLog } from '../../../support/recording-log.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { systemClock } from '../../../support/system-clock.ts';

const QUEUE = 'orders';

let bus: EmbeddedBus;
beforeEach(async () => {
  bus = createLocalBus({ path: ':memory:', clock: systemClock, random: seededRandom(), log: recordingLog() });
  await bus.ensureQueue({ name: QUEUE, type: 'classic', arguments: {} });
  for (let n = 1; n <= 6; n += 1) await bus.publish({ exchange: '', key: QUEUE, message_id: `${n}`, body: new Uint8Array([n]) });
});
afterEach(() => bus.close());

const drained = (over: EmbeddedBus, send: (id: string) => Promise<void>) => {
  const signal = new AbortController().signal;
  const settled: number[] = [];
  const work = drain({
    ...{ bus: over, queue: QUEUE, window: () => 2, limit: 6, signal },
    send: ({ message_id }) => send(message_id),
    settled: (count) => settled.push(count),
  });
  return { work, settled };
};
const left = async () => (await bus.receive(QUEUE, { limit: 10 })).map(({ message_id }) => message_id);

it('sends all that is ready, in its order', async () => {
  const sent: string[] = [];
  const { work, settled } = drained(bus, async (id) => void sent.push(id));
  await work;
  expect(sent).toEqual(['1', '2', '3', '4', '5', '6']);
  expect(settled).toEqual([2, 2, 2]);
  expect(await left()).toEqual([]);
});

it('sends nothing behind what is known to have failed, though the line is there again', async () => {
  const sent: string[] = [];
  const lost = Promise.withResolvers<void>();
  let receives = 0;
  const cut: EmbeddedBus = Object.create(bus, {
    receive: {
      value: async (...args: Parameters<EmbeddedBus['receive']>) => {
        receives += 1;
        const batch = await bus.receive(...args);
        // The second batch is on its way while the third is read.
        if (receives === 3) lost.reject(new Error('the line was cut'));
        await setImmediate();
        return batch;
      },
    },
    ack: { value: (...args: Parameters<EmbeddedBus['ack']>) => bus.ack(...args) },
    reject: { value: (...args: Parameters<EmbeddedBus['reject']>) => bus.reject(...args) },
  });
  const { work, settled } = drained(cut, async (id) => {
    sent.push(id);
    if (id === '3' || id === '4') await lost.promise;
  });
  await expect(work).rejects.toThrow('the line was cut');
  expect(sent).toEqual(['1', '2', '3', '4']);
  expect(settled).toEqual([2, 0]);
  expect(await left()).toEqual(['3', '4', '5', '6']);
});
