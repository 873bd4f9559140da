import { EventEmitter } from 'node:events';
import type { Channel, ChannelModel } from 'amqplib';
import { expect, test } from 'vitest';
import { RabbitConsumer } from '../../runtime-node/adapters/bus-rabbitmq/consumer.ts';
import type { Link } from '../../runtime-node/adapters/bus-rabbitmq/link.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

type Fate = 'with the answer' | 'right after' | 'unanswered' | 'never';

/** A link whose channels are lost as `fates` say: with the answer to the subscription, right after it, or not at all, also without an answer. */
function fatefulLink(fates: Fate[], isMute = false) {
  const opened: string[] = [];
  const closed: string[] = [];
  const channels: EventEmitter[] = [];
  const createChannel = async () => {
    const fate = fates.shift() ?? 'never';
    opened.push(fate);
    const channel = new EventEmitter();
    channels.push(channel);
    const consume = () => {
      if (fate === 'with the answer') queueMicrotask(() => channel.emit('close'));
      if (fate === 'right after') queueMicrotask(() => queueMicrotask(() => queueMicrotask(() => channel.emit('close'))));
      return fate === 'unanswered' ? new Promise(() => undefined) : Promise.resolve({ consumerTag: fate });
    };
    return Object.assign(channel, {
      prefetch: async () => ({}),
      consume,
      cancel: () => (fate === 'never' && isMute ? new Promise(() => undefined) : Promise.resolve({})),
      close: async () => void closed.push(fate),
    }) as unknown as Channel;
  };
  const link: Pick<Link, 'model' | 'onOpen'> = {
    model: async () => ({ createChannel }) as unknown as ChannelModel,
    onOpen: () => () => undefined,
  };
  return { link: link as Link, opened, closed, lose: () => channels[0]?.emit('close') };
}

test.each(['with the answer', 'right after', 'unanswered'] as const)(
  'a consumer whose subscription is lost (%s) subscribes again',
  async (fate) => {
    const clock = new SimulatedClock();
    const { link, opened, closed, lose } = fatefulLink(['never', fate, fate]);
    const consumer = new RabbitConsumer({
      queue: 'frames',
      prefetch: 1,
      handler: async () => undefined,
      link,
      clock,
      random: seededRandom(),
      log: recordingLog(),
    });
    await consumer.start();
    lose();
    await clock.advance(120_000);
    expect(opened).toEqual(['never', fate, fate, 'never']);
    if (fate === 'unanswered') expect(closed).toEqual([fate, fate]);
    await consumer.stop();
  },
);

test.each([
  ['the end of its subscription', ['never']],
  ['its next subscription', ['never', 'unanswered']],
] as const)('a broker that never answers to %s holds up no stop', async (_, fates) => {
  const clock = new SimulatedClock();
  const { link, lose } = fatefulLink([...fates], true);
  const parts = { queue: 'frames', prefetch: 1, handler: async () => undefined, link, clock, random: seededRandom(), log: recordingLog() };
  const consumer = new RabbitConsumer(parts);
  await consumer.start();
  if (fates.length > 1) lose();
  await clock.advance(100);
  const stopping = consumer.stop();
  await clock.advance(3000);
  await stopping;
});
