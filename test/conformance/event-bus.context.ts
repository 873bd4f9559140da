import { expect } from 'vitest';
import type { BusValue, Exchange, ExchangeType, Queue } from '../../shared/contract/profile.ts';
import type { BusErrorKind, Delivery, EventBus, OutgoingMessage, ReceiveOptions } from '../../shared/ports/event-bus.ts';

/** What a backend gives to be tested. */
export interface BusHarness {
  readonly bus: EventBus;
  /** Lets `ms` milliseconds pass: moves a simulated clock, or really waits. */
  elapse(ms: number): Promise<void>;
  /** Closes the bus and removes what was made for it. */
  dispose(): Promise<void>;
}

export type BusSuite = ReturnType<typeof busSuite>;

type Message = Partial<OutgoingMessage> & Pick<OutgoingMessage, 'exchange'>;

/** What the cases are written with. `harness` answers only once the tests run. */
export function busSuite(harness: () => BusHarness) {
  const suite = {
    get bus(): EventBus {
      return harness().bus;
    },
    elapse: (ms: number) => harness().elapse(ms),
  };
  const run = crypto.randomUUID().slice(0, 8);
  let made = 0;

  const fresh = (word: string) => {
    made += 1;
    return `t.${run}.${word}-${made}`;
  };
  const text = (body: Uint8Array) => new TextDecoder().decode(body);
  const publish = ({ body, ...message }: Omit<Message, 'body'> & { body?: string | Uint8Array }) =>
    suite.bus.publish({
      key: '',
      message_id: crypto.randomUUID(),
      ...message,
      body: typeof body === 'string' ? new TextEncoder().encode(body) : (body ?? new Uint8Array()),
    });
  const queue = async (options: Partial<Queue> = {}) => {
    const declared: Queue = { name: fresh('queue'), type: 'classic', arguments: {}, ...options };
    await suite.bus.ensureQueue(declared);
    return declared.name;
  };
  const exchange = async (type: ExchangeType) => {
    const declared: Exchange = { name: fresh(type), type };
    await suite.bus.ensureExchange(declared);
    return declared.name;
  };
  const bind = async (from: string, to: string, key = '', values: Record<string, BusValue> = {}) =>
    suite.bus.ensureBinding({ exchange: from, queue: to, key, arguments: values });
  const until = async (condition: () => boolean | Promise<boolean>) => {
    for (let round = 0; round < 2_400; round += 1) {
      if (await condition()) return;
      await suite.elapse(25);
    }
    throw new Error('The awaited condition did not come true within a minute');
  };
  /** Takes exactly `count` messages, in as many calls as the backend needs. */
  const take = async (from: string, count: number, options: ReceiveOptions = {}) => {
    const taken: Delivery[] = [];
    await until(async () => {
      if (taken.length < count) taken.push(...(await suite.bus.receive(from, { ...options, limit: count - taken.length })));
      return taken.length === count;
    });
    return taken;
  };
  const takeOne = async (from: string, options: ReceiveOptions = {}) => {
    const [delivery] = await take(from, 1, options);
    if (delivery === undefined) throw new Error('unreachable: take waits for the count');
    return delivery;
  };
  /** The bodies that a queue holds, settled. */
  const drain = async (from: string, count: number) => {
    const deliveries = await take(from, count);
    await Promise.all(deliveries.map(({ token }) => suite.bus.ack(from, token)));
    expect(await suite.bus.receive(from)).toEqual([]);
    return deliveries.map(({ body }) => text(body));
  };
  const rejection = (kind: BusErrorKind) => expect.objectContaining({ name: 'BusError', kind });
  const refused = async (call: Promise<unknown>, kind: BusErrorKind) => {
    const error = await call.then(
      () => 'resolved',
      (reason: unknown) => reason,
    );
    expect(error).toEqual(rejection(kind));
    expect((error as Error).message).not.toBe('');
  };

  return Object.assign(suite, { bind, drain, exchange, fresh, publish, queue, refused, take, takeOne, text, until });
}
