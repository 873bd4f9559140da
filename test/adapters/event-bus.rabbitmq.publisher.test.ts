import { EventEmitter } from 'node:events';
import { type ChannelModel, type ConfirmChannel, IllegalOperationError } from 'amqplib';
import { expect, test } from 'vitest';
import type { Link } from '../../runtime-node/adapters/bus-rabbitmq/link.ts';
import { Publisher } from '../../runtime-node/adapters/bus-rabbitmq/publisher.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

/** A link whose first channel was closed before anybody listened; those after it confirm all. */
function linkOfOneLost() {
  const opened: string[] = [];
  const createConfirmChannel = async () => {
    const isLost = opened.length === 0;
    opened.push(isLost ? 'lost' : 'good');
    const publish: ConfirmChannel['publish'] = (_exchange, _key, _body, _options, confirmed) => {
      if (isLost) throw new IllegalOperationError('Channel closed');
      queueMicrotask(() => confirmed?.(null, {} as never));
      return true;
    };
    return Object.assign(new EventEmitter(), { publish, close: async () => undefined }) as unknown as ConfirmChannel;
  };
  const link: Pick<Link, 'model' | 'blocked'> = {
    blocked: undefined,
    model: async () => ({ createConfirmChannel }) as unknown as ChannelModel,
  };
  return { link: link as Link, opened };
}

test('a publisher whose channel is lost together with the answer that opened it takes another for what comes next', async () => {
  const { link, opened } = linkOfOneLost();
  const publisher = new Publisher({ link, clock: new SimulatedClock(), exchangeExists: async () => undefined });
  const publish = (message_id: string) => publisher.publish({ exchange: '', key: 'orders', message_id, body: new Uint8Array([1]) });
  const both = await Promise.allSettled([publish('1'), publish('2')]);
  expect(both).toMatchObject([
    { status: 'rejected', reason: { kind: 'backend_away' } },
    { status: 'rejected', reason: { kind: 'backend_away' } },
  ]);
  expect(await publish('3')).toEqual({ routed: true });
  expect(opened).toEqual(['lost', 'good']);
  await publisher.stop();
});
