import { describe, expect, test } from 'vitest';
import type { BusCapabilities, Topology } from '../../../shared/ports/event-bus.ts';
import { bindingKey, diffBroker } from '../../../shared/reconcile/broker-diff.ts';
import { desiredProfile } from '../../support/memory-environment.ts';

const ALL: BusCapabilities = {
  alter_ttl: true,
  deduplicates: true,
  queue_types: ['classic', 'quorum'],
  removes_if_empty: ['classic', 'quorum'],
  shared: false,
  concurrent_declarations: 1,
  counts_all_unacked: true,
};
const NOTHING: Topology = { exchanges: [], queues: [], bindings: [], confirms: false };
const QUEUE = { name: 'frames', type: 'classic', arguments: {} } as const;

async function diff(broker: unknown, actual: Partial<Topology> = {}, capabilities: Partial<BusCapabilities> = {}) {
  const { body } = await desiredProfile({ broker });
  return diffBroker(body.broker, { ...NOTHING, ...actual }, { ...ALL, ...capabilities });
}

/** The diff of one queue that exists, with confirms on. */
async function diffQueue(wanted: object, is: object, capabilities: Partial<BusCapabilities> = {}) {
  return await diff({ queues: [{ ...QUEUE, ...wanted }] }, { queues: [{ ...QUEUE, ...is }], confirms: true }, capabilities);
}

const kinds = (actions: readonly { kind: string; safety: string }[]) => actions.map(({ kind, safety }) => `${safety} ${kind}`);

describe('broker diff', () => {
  test('makes what is missing: exchanges, queues, bindings, confirms', async () => {
    const actions = await diff({
      exchanges: [{ name: 'overlay', type: 'topic' }],
      queues: [{ name: 'frames', ttl_ms: 1000 }],
      bindings: [{ exchange: 'overlay', queue: 'frames', key: 'frame.#' }],
    });
    expect(actions.map(({ kind, subject }) => `${kind}: ${subject}`)).toEqual([
      'ensure-exchange: exchange overlay',
      'ensure-queue: queue frames',
      'ensure-binding: binding overlay to frames "frame.#"',
      'enable-confirms: publisher confirms',
    ]);
    expect(actions[2]?.needs).toEqual(['exchange overlay', 'queue frames']);
  });

  test('a binding says when nobody makes what it leads from or to', async () => {
    const binding = { exchange: 'ghost', queue: 'lost', key: '#' };
    const bound = async (actual: Partial<Topology> = {}, change: object = {}) =>
      (await diff({ bindings: [{ ...binding, ...change }] }, { confirms: true, ...actual }))[0];
    expect(await bound()).toMatchObject({
      ...{ kind: 'ensure-binding', safety: 'add' },
      detail: 'exchange ghost and queue lost: not there, and not in the profile, so this will fail',
    });
    expect((await bound({ exchanges: [{ name: 'ghost', type: 'topic' }] }))?.detail).toContain('queue lost: not there');
    const queues = [{ ...QUEUE, name: 'lost' }];
    expect(await bound({ exchanges: [{ name: 'ghost', type: 'topic' }], queues })).not.toHaveProperty('detail');
  });

  test('is empty when all is there, whatever else is there', async () => {
    const binding = { exchange: 'overlay', queue: 'frames', key: 'frame.#', arguments: {} };
    const actual: Topology = {
      exchanges: [
        { name: 'foreign', type: 'fanout' },
        { name: 'overlay', type: 'topic' },
      ],
      queues: [{ ...QUEUE, name: 'foreign', ttl_ms: 1 }, QUEUE],
      bindings: [{ ...binding, key: 'foreign' }, binding],
      confirms: true,
    };
    expect(await diff({ exchanges: [{ name: 'overlay', type: 'topic' }], queues: [QUEUE], bindings: [binding] }, actual)).toEqual([]);
  });

  test.each([undefined, { exchanges: [], queues: [], bindings: [] }])('does nothing without a desired topology: %j', (desired) => {
    expect(diffBroker(desired, { ...NOTHING, queues: [QUEUE] }, ALL)).toEqual([]);
  });

  test('another exchange type is shown and skipped', async () => {
    const actions = await diff(
      { exchanges: [{ name: 'overlay', type: 'topic' }] },
      { exchanges: [{ name: 'overlay', type: 'direct' }], confirms: true },
    );
    expect(kinds(actions)).toEqual(['incompatible exchange-type-differs']);
    expect(actions[0]?.detail).toContain('it is direct and the profile wants topic');
  });

  test.each([
    ['type', { type: 'quorum' }, {}],
    ['dlx', { dlx: 'dead' }, {}],
    ['dlx', {}, { dlx: 'dead' }],
    ['arguments', { arguments: { 'x-max-length': 5 } }, {}],
    ['arguments', { arguments: { 'x-max-length': 5 } }, { arguments: { 'x-max-length': 6 } }],
    ['arguments', { arguments: { 'x-max-length': 5 } }, { arguments: { 'x-max-length': '5' } }],
    ['arguments', {}, { arguments: { 'x-max-length': 5 } }],
    ['type, dlx, arguments', { type: 'quorum', dlx: 'a', arguments: { a: 1 } }, { dlx: 'b', arguments: { b: 1 } }],
  ])('another %s of a queue is shown and skipped', async (fields, wanted, is) => {
    const actions = await diffQueue(wanted, is);
    expect(kinds(actions)).toEqual(['incompatible queue-differs']);
    expect(actions[0]?.detail).toContain(`its ${fields} can't be changed`);
  });

  test('the order of arguments does not matter', async () => {
    expect(await diffQueue({ arguments: { a: 1, b: true } }, { arguments: { b: true, a: 1 } })).toEqual([]);
  });

  test.each([
    ['longer', { ttl_ms: 2000 }, { ttl_ms: 1000 }, true, 'update extend-queue-ttl'],
    ['none', {}, { ttl_ms: 1000 }, true, 'update extend-queue-ttl'],
    ['longer, and fixed', { ttl_ms: 2000 }, { ttl_ms: 1000 }, false, 'incompatible queue-ttl-fixed'],
    ['none, and fixed', {}, { ttl_ms: 1000 }, false, 'incompatible queue-ttl-fixed'],
    ['shorter', { ttl_ms: 1000 }, { ttl_ms: 2000 }, true, 'destroy shorten-queue-ttl'],
    ['new', { ttl_ms: 1000 }, {}, true, 'destroy shorten-queue-ttl'],
    ['shorter, and fixed', { ttl_ms: 1000 }, { ttl_ms: 2000 }, false, 'destroy shorten-queue-ttl'],
    ['new, and fixed', { ttl_ms: 1000 }, {}, false, 'destroy shorten-queue-ttl'],
  ])('a TTL that is %s', async (_, wanted, is, alter_ttl, expected) => {
    expect(kinds(await diffQueue(wanted, is, { alter_ttl }))).toEqual([expected]);
  });

  test('a longer TTL is applied to the queue as it is, when something else of it can not be changed', async () => {
    const actions = await diffQueue({ ttl_ms: 2000, dlx: 'new' }, { ttl_ms: 1000, dlx: 'old' });
    expect(kinds(actions)).toEqual(['incompatible queue-differs', 'update extend-queue-ttl']);
    expect(actions[1]?.data).toEqual({ queue: { ...QUEUE, ttl_ms: 2000, dlx: 'old' } });
  });

  test('a TTL that goes away leaves no trace of itself', async () => {
    const [action] = await diffQueue({}, { ttl_ms: 1000 });
    expect(action?.data).toEqual({ queue: QUEUE });
  });

  test('a queue type that the broker lacks is shown with its bindings, and the rest is made', async () => {
    const wanted = {
      exchanges: [{ name: 'overlay', type: 'topic' }],
      queues: [{ name: 'frames', type: 'quorum' }, { name: 'sounds' }],
      bindings: [
        { exchange: 'overlay', queue: 'frames', key: 'a' },
        { exchange: 'overlay', queue: 'sounds', key: 'b' },
      ],
    };
    expect(kinds(await diff(wanted, { confirms: true }, { queue_types: ['classic'] }))).toEqual([
      'add ensure-exchange',
      'incompatible queue-type-unsupported',
      'add ensure-queue',
      'incompatible binding-without-queue',
      'add ensure-binding',
    ]);
  });

  test('bindings differ by exchange, queue, key and arguments, and a repeated one is one', async () => {
    const binding = { exchange: 'overlay', queue: 'frames', key: 'a', arguments: { 'x-match': 'any', kind: 'jpeg' } };
    const swapped = { ...binding, arguments: { kind: 'jpeg', 'x-match': 'any' } };
    const others = [
      { ...binding, key: 'b' },
      { ...binding, queue: 'sounds' },
      { ...binding, exchange: 'other' },
      { ...binding, arguments: { kind: 'png' } },
    ];
    expect(bindingKey(binding)).toBe(bindingKey(swapped));
    expect(new Set([binding, ...others].map(bindingKey)).size).toBe(5);
    const actions = await diff({ bindings: [binding, swapped, ...others] }, { bindings: [binding], confirms: true });
    expect(actions.map(({ data }) => data)).toEqual(others.map((one) => ({ binding: one })));
  });
});

describe('a broker that cannot tell everything', () => {
  const wanted = {
    exchanges: [{ name: 'events', type: 'topic' }],
    queues: [QUEUE],
    bindings: [{ exchange: 'events', queue: 'frames', key: 'k' }],
  };

  test('what exists and is not known is compared by declaring it', async () => {
    const actions = await diff(wanted, {
      exchanges: [{ name: 'events', type: 'unknown', unread: 'no one tells' }],
      queues: [{ name: 'frames', type: 'unknown', arguments: {}, unread: 'no one tells' }],
      bindings_unread: 'no one lists them',
      confirms: true,
    });
    expect(kinds(actions)).toEqual(['update compare-exchange', 'update compare-queue', 'add ensure-binding']);
    expect(actions.map(({ detail }) => detail)).toEqual(['no one tells', 'no one tells', 'no one lists them']);
    expect(actions.map(({ probe }) => probe)).toEqual([true, true, true]);
  });

  test('a binding without its queue or its exchange is gone, whoever could list it', async () => {
    const exchanges = [{ name: 'events', type: 'topic' as const }];
    const known = { bindings_unread: 'no one lists them', confirms: true };
    for (const there of [{ exchanges }, { queues: [QUEUE] }]) {
      const binding = (await diff(wanted, { ...known, ...there })).at(-1);
      expect([binding?.kind, binding?.detail, binding?.probe]).toEqual(['ensure-binding', undefined, undefined]);
    }
    const both = await diff(wanted, { ...known, exchanges, queues: [QUEUE] });
    expect(both.map(({ kind, probe }) => [kind, probe])).toEqual([['ensure-binding', true]]);
  });

  test('what a declaration would stumble over is incompatible, and so is a type that no profile knows', async () => {
    const actions = await diff(wanted, {
      exchanges: [{ name: 'events', type: 'topic', differs: ['internal'] }],
      queues: [{ ...QUEUE, type: 'stream', ttl_ms: 5 }],
      bindings: [{ exchange: 'events', queue: 'frames', key: 'k', arguments: {} }],
      confirms: true,
    });
    expect(kinds(actions)).toEqual(['incompatible exchange-type-differs', 'incompatible queue-differs']);
    expect(actions[0]?.detail).toContain('internal');
    const [transient] = await diff({ queues: [QUEUE] }, { queues: [{ ...QUEUE, differs: ['not durable'] }], confirms: true });
    expect(transient).toMatchObject({ kind: 'queue-differs', detail: expect.stringContaining('not durable') });
  });
});
