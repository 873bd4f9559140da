import { afterEach, describe, expect, it } from 'vitest';
import { BusError, type Delivery } from '../../../../shared/ports/event-bus.ts';
import { type ForwardHarness, forwardHarness } from './bus.harness.ts';

let harness: ForwardHarness;
afterEach(() => harness.dispose());

const text = ({ body }: Delivery) => new TextDecoder().decode(body);
const rejection = (kind: string) => expect.objectContaining({ name: 'BusError', kind });

async function begin(options: Parameters<typeof forwardHarness>[0] = {}) {
  harness = await forwardHarness(options);
  return harness;
}

/** The profile, as each node brings it to its embedded default and a leader to the broker. */
async function environment({ broker, fallback }: ForwardHarness, sides = [broker, fallback]) {
  for (const bus of sides) {
    await bus.ensureExchange({ name: 'events', type: 'topic' });
    for (const name of ['orders', 'audit']) await bus.ensureQueue({ name, type: 'classic', arguments: {} });
    await bus.ensureBinding({ exchange: 'events', queue: 'orders', key: 'order.#', arguments: {} });
    await bus.ensureBinding({ exchange: 'events', queue: 'audit', key: '#', arguments: {} });
  }
}

const send = ({ bus }: ForwardHarness, message_id: string, key = 'order.new', exchange = 'events') =>
  bus.publish({
    exchange,
    key,
    message_id,
    body: new TextEncoder().encode(message_id),
    headers: { tenant: 'a' },
    content_type: 'text/plain',
  });

/** Settles them. */
async function idsAt(bus: Pick<ForwardHarness['bus'], 'receive' | 'ack'>, queue: string): Promise<string[]> {
  const deliveries = await bus.receive(queue, { limit: 1000 });
  for (const { token } of deliveries) await bus.ack(queue, token);
  return deliveries.map(({ message_id }) => message_id);
}

const here = ({ forward }: ForwardHarness) => forward.status();

describe('publishing while the broker is away', () => {
  it('keeps what is published, and lets it go over in its order before anything newer', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    for (const id of ['1', '2', '3']) expect(await send(it, id)).toEqual({ routed: true });
    await it.until('the count', () => here(it).waiting === 6);
    expect(here(it)).toMatchObject({ presence: 'away', reason: expect.stringContaining('cut') });
    it.line.isCut = false;
    await it.present();
    await send(it, '4');
    expect(await idsAt(it.broker, 'orders')).toEqual(['1', '2', '3', '4']);
    expect(await idsAt(it.broker, 'audit')).toEqual(['1', '2', '3', '4']);
    expect(here(it)).toMatchObject({ presence: 'present', waiting: 0, forwarded: 6, conflicts: 0 });
  });

  it('keeps one in the same call when the line is cut under it', async () => {
    const it = await begin();
    await environment(it);
    await it.present();
    it.line.cutAt = ({ method }) => (method === 'publish' ? 'before' : undefined);
    expect(await send(it, 'caught')).toEqual({ routed: true });
    expect(here(it).presence).toBe('away');
    delete it.line.cutAt;
    it.line.isCut = false;
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(['caught']);
  });

  it('publishes again with the same id what may have arrived', async () => {
    const it = await begin();
    await environment(it);
    await it.present();
    it.line.cutAt = ({ method }) => (method === 'publish' ? 'after' : undefined);
    expect(await send(it, 'unconfirmed')).toEqual({ routed: true });
    delete it.line.cutAt;
    it.line.isCut = false;
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(['unconfirmed', 'unconfirmed']);
  });

  it('keeps the order of those that are under way together when the line is cut', async () => {
    const it = await begin();
    await environment(it);
    await it.present();
    let sent = 0;
    it.line.cutAt = ({ method }) => {
      if (method !== 'publish') return undefined;
      sent += 1;
      return sent === 20 ? 'before' : undefined;
    };
    const ids = Array.from({ length: 40 }, (_, index) => `${index}`);
    await Promise.all(ids.map((id) => send(it, id)));
    delete it.line.cutAt;
    it.line.isCut = false;
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(ids);
  });

  it('changes to the broker under a steady stream of publishes, and keeps their order', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    let isOver = false;
    const ids: string[] = [];
    const stream = (async () => {
      while (!isOver) {
        const some = Array.from({ length: 5 }, (_, index) => `${ids.length + index}`);
        ids.push(...some);
        await Promise.all(some.map((id) => send(it, id)));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    it.line.isCut = false;
    await it.present();
    isOver = true;
    await stream;
    const arrived: string[] = [];
    for (let some = await idsAt(it.broker, 'audit'); some.length > 0; some = await idsAt(it.broker, 'audit')) arrived.push(...some);
    expect(arrived).toEqual(ids);
  });

  it('shows consumers a message as it was published', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    await send(it, 'one');
    it.line.isCut = false;
    await it.present();
    const [delivery] = await it.bus.receive('orders');
    expect(delivery).toMatchObject({
      exchange: 'events',
      key: 'order.new',
      message_id: 'one',
      content_type: 'text/plain',
      queue: 'orders',
    });
    expect(delivery?.headers).toEqual({ tenant: 'a' });
    // Whoever asks the broker itself finds the same in headers.
    const [raw] = await it.broker.receive('audit');
    expect(raw).toMatchObject({
      exchange: '',
      key: 'audit',
      headers: { tenant: 'a', 'x-bootplane-exchange': 'events', 'x-bootplane-key': 'order.new' },
    });
  });

  it('lets what dies of a queue there die with the key that it had', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    for (const bus of [it.broker, it.fallback]) {
      await bus.ensureExchange({ name: 'dead', type: 'topic' });
      await bus.ensureQueue({ name: 'grave', type: 'classic', arguments: {} });
      await bus.ensureBinding({ exchange: 'dead', queue: 'grave', key: 'order.#', arguments: {} });
      await bus.ensureQueue({ name: 'mortal', type: 'classic', dlx: 'dead', arguments: {} });
      await bus.ensureBinding({ exchange: 'events', queue: 'mortal', key: 'order.#', arguments: {} });
    }
    await send(it, 'one');
    it.line.isCut = false;
    await it.present();
    const [delivery] = await it.bus.receive('mortal');
    expect(delivery).toMatchObject({ exchange: 'events', key: 'order.new', headers: { tenant: 'a' } });
    await it.bus.reject('mortal', delivery?.token ?? '', { requeue: false });
    const [dead] = await it.bus.receive('grave');
    expect(dead).toMatchObject({ exchange: 'dead', key: 'order.new', message_id: 'one' });
    expect(it.broker.everything().exchanges.map(({ name }) => name)).toEqual(['events', 'dead']);
  });

  it('keeps no more than it may of what no queue here is bound for', async () => {
    const it = await begin({ isCut: true, max_held: 3 });
    for (const bus of [it.broker, it.fallback]) await bus.ensureExchange({ name: 'news', type: 'direct' });
    for (const id of ['1', '2', '3']) expect(await send(it, id, 'k', 'news')).toEqual({ routed: false });
    await expect(send(it, '4', 'k', 'news')).rejects.toEqual(rejection('full'));
    it.line.isCut = false;
    await it.present();
    it.line.isCut = true;
    expect(await send(it, '4', 'k', 'news')).toEqual({ routed: false });
  });

  it('refuses headers that leave no room to say where a message was published', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    const large = {
      exchange: 'events',
      key: 'order.new',
      message_id: 'large',
      body: new Uint8Array(),
      headers: { x: 'x'.repeat(62 * 1024) },
    };
    await expect(it.bus.publish(large)).rejects.toEqual(rejection('unsupported'));
  });

  it('keeps what no queue here is bound for, and publishes it to its exchange', async () => {
    const it = await begin({ isCut: true });
    for (const bus of [it.broker, it.fallback]) await bus.ensureExchange({ name: 'news', type: 'direct' });
    await it.broker.ensureQueue({ name: 'others', type: 'classic', arguments: {} });
    await it.broker.ensureBinding({ exchange: 'news', queue: 'others', key: 'k', arguments: {} });
    expect(await send(it, 'same id', 'k', 'news')).toEqual({ routed: false });
    expect(await send(it, 'same id', 'others', '')).toEqual({ routed: false });
    it.line.isCut = false;
    await it.present();
    const found = await it.broker.receive('others', { limit: 10 });
    expect(found.map(({ exchange, key, message_id, headers }) => ({ exchange, key, message_id, headers }))).toEqual(
      expect.arrayContaining([
        { exchange: 'news', key: 'k', message_id: 'same id', headers: { tenant: 'a' } },
        { exchange: '', key: 'others', message_id: 'same id', headers: { tenant: 'a' } },
      ]),
    );
    expect(found).toHaveLength(2);
  });

  it('says backend_away of an exchange that is not declared here', async () => {
    const it = await begin({ isCut: true });
    await expect(send(it, 'x', 'k', 'nowhere')).rejects.toEqual(rejection('backend_away'));
    it.line.isCut = false;
    await it.present();
    await expect(send(it, 'x', 'k', 'nowhere')).rejects.toEqual(rejection('no_such_exchange'));
  });

  it('hides the queues of its own', async () => {
    const it = await begin({ isCut: true });
    await it.fallback.ensureExchange({ name: 'news', type: 'direct' });
    await send(it, 'x', 'k', 'news');
    await expect(it.bus.receive('bootplane.held.news')).rejects.toEqual(rejection('no_such_queue'));
    await expect(it.bus.queueStats('bootplane.held.news')).rejects.toEqual(rejection('no_such_queue'));
    await expect(send(it, 'y', 'k', 'bootplane.held.news')).rejects.toEqual(rejection('no_such_exchange'));
    await expect(it.bus.ensureQueue({ name: 'bootplane.refused', type: 'classic', arguments: {} })).rejects.toEqual(rejection('bad_name'));
  });
});

describe('the environment', () => {
  it('is waited for: what is declared here has to be there before anything goes over', async () => {
    const it = await begin();
    await environment(it, [it.fallback]);
    await send(it, '1');
    await it.clock.advance(20_000);
    expect(here(it)).toMatchObject({ presence: 'forwarding', waiting: 2 });
    await environment(it, [it.broker]);
    it.forward.wake();
    await send(it, '2');
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(['1', '2']);
    expect(await idsAt(it.broker, 'audit')).toEqual(['1', '2']);
  });

  it('holds nothing up for long by what nobody wants any more, and keeps what that holds', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    await it.fallback.ensureQueue({ name: 'old', type: 'classic', arguments: {} });
    await send(it, 'left', 'old', '');
    await send(it, 'new');
    it.line.isCut = false;
    await it.clock.advance(120_000);
    expect(here(it)).toMatchObject({ presence: 'forwarding', waiting: 1 });
    await send(it, 'direct');
    expect(await idsAt(it.broker, 'orders')).toEqual(['new', 'direct']);
    const [left] = await it.bus.receive('old', { visibility_ms: 1000 });
    expect(left?.message_id).toBe('left');

    // Whoever leads makes it again, and tells this node nothing of it.
    await it.broker.ensureQueue({ name: 'old', type: 'classic', arguments: {} });
    await it.present();
    expect(here(it).waiting).toBe(0);
    expect(await idsAt(it.broker, 'old')).toEqual(['left']);
  });

  it('gets what was declared while it was away, before the messages, also after a restart', async () => {
    const { mkdtemp, rm } = await import('node:fs/promises');
    const { tmpdir } = await import('node:os');
    const { join } = await import('node:path');
    const folder = await mkdtemp(join(tmpdir(), 'bootplane-forward-'));
    try {
      const it = await begin({ isCut: true, path: join(folder, 'bus.sqlite') });
      await it.bus.ensureExchange({ name: 'overlay', type: 'topic' });
      await it.bus.ensureQueue({ name: 'watchers', type: 'classic', arguments: {} });
      await it.bus.ensureBinding({ exchange: 'overlay', queue: 'watchers', key: '#', arguments: {} });
      await send(it, 'event', 'overlay.plan', 'overlay');
      await it.restart();
      it.line.isCut = false;
      await it.present();
      expect(it.broker.everything()).toMatchObject({
        exchanges: [{ name: 'overlay' }],
        queues: [{ name: 'watchers' }],
        bindings: [{ key: '#' }],
      });
      expect(await idsAt(it.broker, 'watchers')).toEqual(['event']);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('is not missed for ever: a declaration that waits for an exchange nobody makes keeps no publishes here', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    await it.fallback.ensureExchange({ name: 'dropped', type: 'topic' });
    await it.bus.ensureBinding({ exchange: 'dropped', queue: 'orders', key: '#', arguments: {} });
    it.line.isCut = false;
    await it.clock.advance(120_000);
    expect(here(it)).toMatchObject({ presence: 'forwarding', waiting: 1 });
    await send(it, 'direct');
    expect((await it.fallback.holdings()).filter(({ ready }) => ready > 0)).toEqual([]);
    expect(await idsAt(it.broker, 'orders')).toEqual(['direct']);
    await it.broker.ensureExchange({ name: 'dropped', type: 'topic' });
    await it.present();
    expect(here(it)).toMatchObject({ waiting: 0, conflicts: 0 });
    expect((await send(it, 'bound', 'any', 'dropped')).routed).toBe(true);
  });

  it('reports what was declared while it was away and is another one there', async () => {
    const it = await begin({ isCut: true });
    await it.broker.ensureQueue({ name: 'orders', type: 'classic', arguments: { 'x-max-length': 1 } });
    await it.bus.ensureQueue({ name: 'orders', type: 'classic', arguments: {} });
    await send(it, 'goes all the same', 'orders', '');
    it.line.isCut = false;
    await it.present();
    expect(here(it).conflicts).toBe(1);
    expect(it.events.filter(({ kind }) => kind === 'conflict')).toHaveLength(1);
    expect(await idsAt(it.broker, 'orders')).toEqual(['goes all the same']);
  });
});

describe('taking while the broker is away', () => {
  it('gets what waits here, and what is settled here never goes over', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    for (const id of ['1', '2', '3']) await send(it, id);
    const [first] = await it.bus.receive('orders');
    await it.bus.ack('orders', first?.token ?? '');
    it.line.isCut = false;
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(['2', '3']);
  });

  it('does not let go over what is handed out, and changes to the broker when that is settled or has run out', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    for (const id of ['1', '2']) await send(it, id);
    const [first] = await it.bus.receive('orders', { visibility_ms: 40_000 });
    const [second] = await it.bus.receive('audit', { visibility_ms: 3_600_000 });
    it.line.isCut = false;
    await it.clock.advance(10_000);
    expect(here(it)).toMatchObject({ presence: 'forwarding', waiting: 2 });
    expect(await idsAt(it.broker, 'orders')).toEqual(['2']);
    await send(it, '3');
    await it.until('what was published meanwhile', async () => (await it.broker.queueStats('orders')).ready > 0);
    await it.bus.ack('audit', second?.token ?? '');
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(['3', '1']);
    expect(await idsAt(it.broker, 'audit')).toEqual(['2', '3']);
    await expect(it.bus.ack('orders', first?.token ?? '')).rejects.toEqual(rejection('unknown_delivery'));
  });

  it('says backend_away where nothing is here, after it has waited', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    await expect(it.bus.receive('orders')).rejects.toEqual(rejection('backend_away'));
    await expect(it.bus.receive('of others')).rejects.toEqual(rejection('backend_away'));
    await expect(it.bus.queueStats('orders')).rejects.toEqual(rejection('backend_away'));
    const waiting = it.bus.receive('orders', { wait_ms: 5000 }).then(
      () => 'taken',
      ({ kind }) => kind,
    );
    await it.clock.advance(6000);
    expect(await waiting).toBe('backend_away');
  });

  it('waits for an arrival here, or for the broker', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    const [local, remote] = [it.bus.receive('orders', { wait_ms: 60_000 }), it.bus.receive('audit', { wait_ms: 60_000 })];
    await send(it, 'here', 'orders', '');
    expect((await local).map(text)).toEqual(['here']);
    await it.broker.publish({ exchange: '', key: 'audit', message_id: 'there', body: new TextEncoder().encode('there') });
    it.line.isCut = false;
    let taken: Delivery[] | undefined;
    void remote.then((deliveries) => {
      taken = deliveries;
    });
    await it.until('the message of the broker', () => taken !== undefined);
    expect(taken?.map(text)).toEqual(['there']);
    await it.bus.ack('audit', taken?.[0]?.token ?? '');
  });

  it('lets a consumer take here, and moves it to the broker and back', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    const seen: string[] = [];
    const consumer = await it.bus.consume('orders', async (delivery) => {
      seen.push(`${delivery.exchange} ${text(delivery)}`);
    });
    await send(it, '1');
    await it.until('the first', () => seen.length === 1);
    it.line.isCut = false;
    await it.present();
    await send(it, '2');
    await it.until('the second', () => seen.length === 2);
    it.line.isCut = true;
    await send(it, '3');
    await it.until('the third', () => seen.length === 3);
    await consumer.stop();
    expect(seen).toEqual(['events 1', 'events 2', 'events 3']);
    await send(it, '4');
    it.line.isCut = false;
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(['4']);
  });

  it('has at most prefetch handlers under way on both sides together', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    let [active, most] = [0, 0];
    let finish = () => {};
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const consumer = await it.bus.consume('orders', async () => {
      active += 1;
      most = Math.max(most, active);
      await gate;
      active -= 1;
    });
    await send(it, 'held here');
    await it.until('the first', () => active === 1);
    await send(it, 'goes over');
    it.line.isCut = false;
    await it.until('the other', async () => (await it.broker.queueStats('orders')).unacked === 1);
    expect(most).toBe(1);
    finish();
    await it.present();
    await it.until('both', async () => (await it.broker.queueStats('orders')).unacked === 0);
    await consumer.stop();
    expect(most).toBe(1);
  });

  it('waits with a consumer of a queue that only the broker has', async () => {
    const it = await begin({ isCut: true });
    await it.broker.ensureQueue({ name: 'theirs', type: 'classic', arguments: {} });
    const seen: string[] = [];
    const consumer = await it.bus.consume('theirs', async (delivery) => void seen.push(text(delivery)));
    await it.broker.publish({ exchange: '', key: 'theirs', message_id: 'm', body: new TextEncoder().encode('m') });
    it.line.isCut = false;
    await it.until('the message', () => seen.length === 1);
    await consumer.stop();
  });
});

describe('what the broker refuses', () => {
  it('is put aside for a person and holds nothing up', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    for (const id of ['1', 'bad', '3']) await send(it, id, 'orders', '');
    it.refuse = ({ message_id }) => (message_id === 'bad' ? new BusError('unsupported', 'it has a header CC') : undefined);
    it.line.isCut = false;
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toEqual(['1', '3']);
    expect(here(it)).toMatchObject({ waiting: 0, conflicts: 1 });
    expect(it.events.filter(({ kind }) => kind === 'conflict')).toEqual([
      { kind: 'conflict', message: expect.stringContaining('it has a header CC') },
    ]);
    const [kept] = await it.fallback.receive('bootplane.refused');
    expect(kept?.headers).toMatchObject({ 'x-bootplane-message-id': 'bad', 'x-bootplane-queue': 'orders' });
  });

  it('of one exchange for good, holds up neither the others nor the change to the broker', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    for (const bus of [it.broker, it.fallback]) await bus.ensureExchange({ name: 'locked', type: 'topic' });
    it.refuse = ({ exchange }) => (exchange === 'locked' ? new BusError('unauthorized', 'access to it is refused') : undefined);
    await send(it, 'held', 'any', 'locked');
    await send(it, '1');
    it.line.isCut = false;
    await it.clock.advance(60_000);
    expect(here(it)).toMatchObject({ presence: 'forwarding', waiting: 1 });
    await send(it, '2');
    expect(await idsAt(it.broker, 'orders')).toEqual(['1', '2']);
    delete it.refuse;
    await it.present();
    expect(it.arrivals.map(({ message_id }) => message_id)).toContain('held');
  });

  it('is counted as it is, also where each round ends with an error', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    it.refuse = ({ key }) => (key === 'audit' ? new BusError('failed', 'out of order') : undefined);
    for (const id of ['1', '2']) await send(it, id);
    it.line.isCut = false;
    await it.clock.advance(60_000);
    expect(here(it)).toMatchObject({ presence: 'forwarding', reason: 'out of order', waiting: 2, forwarded: 2 });
    delete it.refuse;
    await it.present();
    expect(await idsAt(it.broker, 'audit')).toEqual(['1', '2']);
  });

  it('is not tried again with each message that is published', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    it.refuse = () => new BusError('unauthorized', 'the password is wrong');
    await send(it, 'first');
    it.line.isCut = false;
    await it.clock.advance(60_000);
    const tries = () => it.calls.filter(({ method }) => method === 'ensureConfirms').length;
    const before = tries();
    for (let index = 0; index < 100; index += 1) {
      await send(it, `more-${index}`);
      await it.clock.advance(0);
    }
    expect(tries() - before).toBeLessThan(3);
    delete it.refuse;
    await it.present();
    expect(await idsAt(it.broker, 'orders')).toHaveLength(101);
  });

  it('is tried again where the queue is full, in its order', async () => {
    const it = await begin({ isCut: true });
    await environment(it);
    const ids = Array.from({ length: 10 }, (_, index) => `${index}`);
    for (const id of ids) await send(it, id, 'orders', '');
    const { BusError } = await import('../../../../shared/ports/event-bus.ts');
    let refusals = 0;
    it.refuse = ({ message_id }) => {
      if (message_id !== '0' || refusals === 3) return undefined;
      refusals += 1;
      return new BusError('full', 'the queue is full');
    };
    it.line.isCut = false;
    await it.present();
    const arrived = await idsAt(it.broker, 'orders');
    // The first time more than one was on its way. What came after the refused one came again, behind it.
    expect(arrived.slice(arrived.indexOf('0'))).toEqual(ids);
  });
});
