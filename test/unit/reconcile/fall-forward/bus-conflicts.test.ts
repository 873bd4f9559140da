import { afterEach, describe, expect, it } from 'vitest';
import type { BacklogConflict } from '../../../../shared/contract/backlog-conflict.ts';
import { BusError, type OutgoingMessage } from '../../../../shared/ports/event-bus.ts';
import { type ForwardHarness, forwardHarness } from './bus.harness.ts';

let harness: ForwardHarness;
afterEach(() => harness.dispose());

const bytes = (text: string) => new TextEncoder().encode(text);
const only = async () => {
  const [conflict, second] = await harness.forward.conflicts.list(10);
  expect(second).toBeUndefined();
  return conflict ?? expect.fail('there is no conflict');
};
const keepOurs = ({ id, tag }: BacklogConflict) => ({ id, keep: 'ours' as const, tag: tag ?? expect.fail('ours can not be kept') });
const resolve = (decision: Parameters<ForwardHarness['forward']['conflicts']['resolve']>[0]) => harness.forward.conflicts.resolve(decision);
const counts = () => harness.forward.status();

/** Messages that were published to `events` while the broker was away, of which it will have none that `isBad`. */
async function refusing(ids: readonly string[], isBad: (message: OutgoingMessage) => boolean, exchange = 'events') {
  harness = await forwardHarness({ isCut: true });
  for (const bus of [harness.broker, harness.fallback]) {
    await bus.ensureExchange({ name: 'events', type: 'topic' });
    await bus.ensureExchange({ name: 'lonely', type: 'topic' });
    await bus.ensureQueue({ name: 'orders', type: 'classic', arguments: {} });
    await bus.ensureBinding({ exchange: 'events', queue: 'orders', key: '#', arguments: {} });
  }
  for (const id of ids) {
    const message = { exchange, key: 'order.new', message_id: id, body: bytes(id), headers: { tenant: 'a' }, content_type: 'text/plain' };
    await harness.bus.publish(message);
  }
  harness.refuse = (message) => (isBad(message) ? new BusError('unsupported', 'it has a header CC') : undefined);
  harness.line.isCut = false;
  await harness.present();
}

describe('a message that the broker refuses for good', () => {
  it('is shown with its queue, its id and the reason, and stays where it is by that', async () => {
    await refusing(['1', 'bad', '3'], ({ message_id }) => message_id === 'bad');
    const conflict = await only();
    expect(conflict).toMatchObject({
      ...{ component: 'broker', kind: 'message', place: 'orders', key: 'bad', reason: 'it has a header CC' },
      ours: { size: 3 },
    });
    expect(conflict).not.toHaveProperty('theirs');
    expect(await harness.forward.conflicts.find(conflict.id)).toEqual(conflict);
    const [one, other] = await Promise.all([only(), only()]);
    expect([one, other]).toEqual([conflict, conflict]);
    expect(counts()).toMatchObject({ conflicts: 1 });
  });

  it('that is given up is gone, and nothing else', async () => {
    await refusing(['1', 'bad', 'worse'], ({ message_id }) => message_id !== '1');
    const [bad, worse] = await harness.forward.conflicts.list(10);
    const { id } = bad ?? expect.fail();
    expect(await resolve({ id, keep: 'external' })).toEqual({ message: 'message bad of queue orders is removed' });
    expect(await only()).toEqual(worse);
    expect(counts()).toMatchObject({ conflicts: 1 });
    expect(await resolve({ id, keep: 'external' })).toMatchObject({ refused: { code: 'no_such_conflict' } });
  });

  it('is tried once more with what it had, and stays while it is refused', async () => {
    await refusing(['bad'], ({ message_id }) => message_id === 'bad');
    const conflict = await only();
    expect(await resolve(keepOurs(conflict))).toEqual({
      refused: { code: 'conflict_stays', detail: expect.stringContaining('header CC') },
    });
    expect(await only()).toEqual(conflict);
    delete harness.refuse;
    expect(await resolve({ ...keepOurs(conflict), tag: 'a'.repeat(64) })).toMatchObject({ refused: { code: 'conflict_changed' } });
    expect(await resolve(keepOurs(conflict))).toEqual({ message: expect.stringContaining('has gone to') });
    expect(counts()).toMatchObject({ conflicts: 0, waiting: 0 });
    const [there] = await harness.bus.receive('orders');
    expect(there).toMatchObject({ exchange: 'events', key: 'order.new', message_id: 'bad', content_type: 'text/plain' });
    expect(there?.headers).toEqual({ tenant: 'a' });
  });

  it('goes to its exchange again where no queue here wanted it', async () => {
    await refusing(['bad'], ({ message_id }) => message_id === 'bad', 'lonely');
    const conflict = await only();
    delete harness.refuse;
    await harness.broker.ensureBinding({ exchange: 'lonely', queue: 'orders', key: '#', arguments: {} });
    await resolve(keepOurs(conflict));
    expect(await harness.bus.receive('orders')).toMatchObject([{ exchange: 'lonely', key: 'order.new', message_id: 'bad' }]);
  });

  it('can not go while the broker is away', async () => {
    await refusing(['bad'], ({ message_id }) => message_id === 'bad');
    const conflict = await only();
    harness.line.isCut = true;
    expect(await resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'backend_away' } });
    expect(await resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'backend_away' } });
    expect(await only()).toEqual(conflict);
  });

  it('comes page by page, behind the declarations', async () => {
    await refusing(['1', '2', '3'], () => true);
    const first = await harness.forward.conflicts.list(2);
    const rest = await harness.forward.conflicts.list(2, first[1]?.id);
    // They were refused at the same time, and lie in the order in which that was written down.
    expect([...first, ...rest].map(({ key }) => key).sort()).toEqual(['1', '2', '3']);
    expect([first.length, rest.length]).toEqual([2, 1]);
    expect(await harness.forward.conflicts.list(2, rest[0]?.id)).toEqual([]);
  });
});

describe('a declaration that the broker refuses', () => {
  const EXCHANGE = { name: 'mine', type: 'topic' } as const;

  async function declared() {
    harness = await forwardHarness({ isCut: true });
    await harness.broker.ensureExchange({ ...EXCHANGE, type: 'fanout' });
    await harness.bus.ensureExchange(EXCHANGE);
    harness.line.isCut = false;
    await harness.present();
    return only();
  }

  it('is shown as it was declared, and given up', async () => {
    const conflict = await declared();
    expect(conflict).toMatchObject({ component: 'broker', kind: 'exchange', reason: expect.any(String) });
    expect(JSON.parse(conflict.key)).toEqual(EXCHANGE);
    expect(await resolve({ id: conflict.id, keep: 'external' })).toMatchObject({ message: expect.stringContaining('stays as it is') });
    expect(counts()).toMatchObject({ conflicts: 0 });
    expect(await harness.forward.conflicts.list(10)).toEqual([]);
  });

  it('is tried once more, which never replaces what is there', async () => {
    const conflict = await declared();
    expect(await resolve(keepOurs(conflict))).toMatchObject({ refused: { code: 'conflict_stays' } });
    expect(counts()).toMatchObject({ conflicts: 1 });
    await harness.broker.removeExchange('mine');
    expect(await resolve(keepOurs(conflict))).toMatchObject({ message: expect.any(String) });
    expect((await harness.broker.readTopology({ exchanges: ['mine'], queues: [], bindings: [] })).exchanges).toEqual([EXCHANGE]);
    expect(counts()).toMatchObject({ conflicts: 0 });
  });
});
