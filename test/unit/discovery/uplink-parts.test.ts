import { describe, expect, it } from 'vitest';
import { createClient } from '../../../shared/client.ts';
import {
  type EventRecord,
  type EventType,
  toTimestamp,
  type UplinkAnswer,
  type UplinkNode,
  type UplinkRequest,
} from '../../../shared/contract/index.ts';
import type { DiscoveryDeps } from '../../../shared/discovery/types.ts';
import { createSiteChanges } from '../../../shared/discovery/uplink-changes.ts';
import { openUplinkEvents } from '../../../shared/discovery/uplink-events.ts';
import { type Portion, sendPortion } from '../../../shared/discovery/uplink-portion.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { json } from './scripted-supervisor.ts';

const LOTS = 1_000_000;

function node(node_id: string, more: Partial<UplinkNode> = {}): UplinkNode {
  const about = { role: 'worker' as const, capabilities: [], host: 'h', ip: '192.0.2.1', versions: {}, services_running: [] };
  return { node_id, ...about, registered_ms: 1000, ...more };
}

const idsOf = ({ nodes, gone }: { nodes: readonly UplinkNode[]; gone: readonly string[] }) => [nodes.map(({ node_id }) => node_id), gone];

describe('what has changed on a site', () => {
  const site = (...nodes: UplinkNode[]) => ({ nodes, gone: [] as string[] });
  /** Everything is told. */
  const settled = (...nodes: UplinkNode[]) => {
    const changes = createSiteChanges();
    changes.see(site(...nodes), 10_000);
    changes.settle(changes.next(LOTS));
    return changes;
  };

  it('is everything at first, and nothing when it was told', () => {
    const changes = createSiteChanges();
    changes.see({ nodes: [node('a'), node('b')], gone: ['c'] }, 10_000);
    const first = changes.next(LOTS);
    expect([idsOf(first), first.isAll]).toEqual([[['a', 'b'], ['c']], true]);
    changes.settle(first);
    changes.see({ nodes: [node('a', { registered_ms: 6_000 }), node('b', { registered_ms: 6_050 })], gone: ['c'] }, 15_000);
    expect(idsOf(changes.next(LOTS))).toEqual([[], []]);
    changes.forget();
    expect(idsOf(changes.next(LOTS))).toEqual([['a', 'b'], ['c']]);
  });

  it.each<[string, Partial<UplinkNode>]>([
    ['another role', { role: 'proxy' }],
    ['a service', { services_running: [{ name: 'api', version: '1', state: 'running' }] }],
    ['its silence', { silent_ms: 16_000 }],
    ['a new registration, though all else is the same', { registered_ms: 0 }],
    [
      'a component',
      {
        components: {
          storage: {
            status: 'applied',
            action: 'reconcile',
            generation: 1,
            hash: 'a'.repeat(64),
            attempt: 1,
            duration_ms: 1,
            incompatible: [],
            age_ms: 5,
          },
        },
      },
    ],
  ])('is %s of a node', (_what, more) => {
    const changes = settled(node('a'), node('b'));
    changes.see(site(node('a', { registered_ms: 6_000 }), node('b', { registered_ms: 6_000, ...more })), 15_000);
    expect(idsOf(changes.next(LOTS))).toEqual([['b'], []]);
  });

  it('is not how old something is', () => {
    const storage = {
      status: 'applied' as const,
      action: 'reconcile',
      generation: 1,
      hash: 'a'.repeat(64),
      attempt: 1,
      duration_ms: 1,
      incompatible: [],
    };
    const changes = settled(node('a', { silent_ms: 16_000, components: { storage: { ...storage, age_ms: 5 } } }));
    changes.see(
      site(node('a', { registered_ms: 6_000, silent_ms: 21_000, components: { storage: { ...storage, age_ms: 5_005 } } })),
      15_000,
    );
    expect(idsOf(changes.next(LOTS))).toEqual([[], []]);
  });

  it('is told in portions, and a portion is one node at least', () => {
    const changes = createSiteChanges();
    changes.see(site(...['a', 'b', 'c'].map((id) => node(id))), 10_000);
    const seen: string[] = [];
    for (let isAll = false; !isAll; ) {
      const portion = changes.next(10);
      expect(portion.nodes).toHaveLength(1);
      seen.push(...portion.nodes.map(({ node_id }) => node_id));
      changes.settle(portion);
      ({ isAll } = portion);
    }
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  it('of a node that the registry has forgotten is that nobody hears it, once', () => {
    const changes = settled(node('a'), node('b'));
    changes.see(site(node('a', { registered_ms: 6_000 })), 15_000);
    const next = changes.next(LOTS);
    expect(next.nodes).toMatchObject([{ node_id: 'b', silent_ms: 5_000 }]);
    changes.settle(next);
    changes.see(site(node('a', { registered_ms: 11_000 })), 20_000);
    expect(idsOf(changes.next(LOTS))).toEqual([[], []]);
    changes.see(site(node('a', { registered_ms: 16_000 }), node('b', { registered_ms: 0 })), 25_000);
    expect(idsOf(changes.next(LOTS))).toEqual([['b'], []]);
  });

  it.each<[string, Partial<UplinkNode>]>([
    ['', {}],
    [' with a change that was not told either', { role: 'proxy' }],
  ])('of a node that the registry has forgotten is told until a call got through%s', (_what, more) => {
    const changes = settled(node('a'), node('b'));
    changes.see(site(node('a', { registered_ms: 6_000 }), node('b', { registered_ms: 6_000, ...more })), 15_000);
    for (const [registered_ms, now_ms] of [
      [11_000, 20_000],
      [12_500, 21_500],
    ] as const) {
      changes.see(site(node('a', { registered_ms })), now_ms);
      expect(changes.next(LOTS).nodes).toMatchObject([{ node_id: 'b', silent_ms: 5_000 }]);
    }
    changes.settle(changes.next(LOTS));
    changes.see(site(node('a', { registered_ms: 16_000 })), 25_000);
    expect(idsOf(changes.next(LOTS))).toEqual([[], []]);
  });

  it('shortens a node that no message could carry', () => {
    const incompatible = Array.from({ length: 1000 }, (_, index) => ({ subject: `s${index}`, detail: 'd'.repeat(1000) }));
    const storage = {
      status: 'applied' as const,
      action: 'reconcile',
      generation: 1,
      hash: 'a'.repeat(64),
      attempt: 1,
      duration_ms: 1,
      incompatible,
      age_ms: 0,
    };
    const changes = createSiteChanges();
    changes.see(site(node('a', { components: { storage } })), 10_000);
    expect(changes.next(LOTS).nodes[0]?.components?.storage?.incompatible).toHaveLength(20);
  });
});

/** The own event log, as far as a reader sees it. */
class Log {
  records: EventRecord[] = [];
  readonly clock = new SimulatedClock();
  readonly files = memoryStateFiles();

  add(from: number, to: number, type: EventType = 'overlay.register'): void {
    for (let cursor = from; cursor <= to; cursor += 1) {
      this.records.push({ cursor: String(cursor), type, site: 'default', node_id: 'a', at: toTimestamp(this.clock.now()), data: {} });
    }
  }

  open(cloud_url = 'https://cloud.example', site = 'default') {
    const own = createClient({
      url: 'http://127.0.0.1:1',
      fetch: async (request) => {
        const { searchParams } = new URL(request.url);
        const rest = this.records.filter(({ cursor }) => Number(cursor) > Number(searchParams.get('after')));
        const events = rest.slice(0, Number(searchParams.get('limit')));
        return json({ events, ...(rest.length > events.length ? { next: events.at(-1)?.cursor } : {}) });
      },
    });
    const deps = { config: { site }, clock: this.clock, files: this.files, log: recordingLog() } as unknown as DiscoveryDeps;
    return openUplinkEvents(deps, own, cloud_url);
  }
}

describe('the events that the cloud has not taken yet', () => {
  const cursors = (events: readonly { cursor: string }[]) => events.map(({ cursor }) => Number(cursor));

  it('come in their order, in portions, and not again; a restart goes on where it was', async () => {
    const log = new Log();
    log.add(1, 250);
    const first = await log.open();
    const batch = await first.next(LOTS);
    expect(cursors(batch.events)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(batch).toMatchObject({ missed: 0, isAll: false });
    expect(await first.next(LOTS)).toEqual(batch);
    await first.settle(batch);
    const again = await log.open();
    const rest = await again.next(LOTS);
    expect([cursors(rest.events).at(0), cursors(rest.events).at(-1), rest.isAll]).toEqual([201, 250, true]);
    await again.settle(rest);
    expect((await again.next(LOTS)).events).toEqual([]);
    log.add(251, 251);
    expect(cursors((await again.next(LOTS)).events)).toEqual([251]);
  });

  it('leave out what the cloud knows by itself, and pass it', async () => {
    const log = new Log();
    log.add(1, 1);
    log.add(2, 3, 'overlay.plan');
    const events = await log.open();
    const batch = await events.next(LOTS);
    expect(cursors(batch.events)).toEqual([1]);
    await events.settle(batch);
    expect(JSON.parse(log.files.texts.get('uplink.json') ?? '')).toMatchObject({ cursor: '3' });
  });

  it('are at least one, however little fits', async () => {
    const log = new Log();
    log.add(1, 3);
    expect(await (await log.open()).next(1)).toMatchObject({ events: [{ cursor: '1' }], isAll: false, upTo: { cursor: '1' } });
  });

  it('have an age, which a clock that was set back does not make negative', async () => {
    const log = new Log();
    log.add(1, 1);
    await log.clock.advance(5_000);
    const events = await log.open();
    expect((await events.next(LOTS)).events[0]?.age_ms).toBe(5_000);
    log.clock.jump(0);
    expect((await events.next(LOTS)).events[0]?.age_ms).toBe(0);
  });

  it('say how many had gone from the log before they could be sent', async () => {
    const log = new Log();
    log.add(1, 10);
    const events = await log.open();
    await events.settle(await events.next(LOTS));
    log.add(11, 100);
    log.records = log.records.slice(60);
    expect(await events.next(LOTS)).toMatchObject({ missed: 50, events: [{ cursor: '61' }, ...Array(39).fill({})] });
  });

  it.each<[string, (log: Log) => void, Parameters<Log['open']>]>([
    ['a log that was made anew', () => undefined, []],
    ['a log that was made anew and has grown past the old one', (log) => log.add(4, 300), []],
    ['another cloud', () => undefined, ['https://other.example']],
    ['another site', () => undefined, ['https://cloud.example', 'shop-2']],
    ['a state file that is spoilt', (log) => void log.files.texts.set('uplink.json', '{"cursor":'), []],
  ])('are all of them for %s', async (_what, change, open) => {
    const log = new Log();
    log.add(1, 250);
    const events = await log.open();
    await events.settle(await events.next(LOTS));
    await log.clock.advance(1_000);
    log.records = [];
    log.add(1, 3);
    change(log);
    const batch = await (await log.open(...open)).next(LOTS);
    expect(batch).toMatchObject({ missed: 0 });
    expect(cursors(batch.events).slice(0, 3)).toEqual([1, 2, 3]);
  });
});

describe('a portion that the cloud refuses', () => {
  const head = { node_id: 'a', url: 'http://a.test:1', epoch: 1, site: 'default', session: 's', seq: 4 };
  const answer: UplinkAnswer = {
    ...{ granted: true, leader_url: 'http://a.test:1', node_id: 'a', epoch: 1 },
    ...{ expires_at: '2026-01-01T00:00:00.000Z', expires_in_ms: 15_000, acked: 4 },
  };
  const portion = (nodes: readonly string[], events: readonly number[] = []): Portion => ({
    nodes: { nodes: nodes.map((id) => node(id)), gone: [], isAll: true },
    events: {
      events: events.map((cursor) => ({ cursor: String(cursor), type: 'overlay.register', at: 'x', age_ms: 0, data: {} })),
      missed: 0,
      upTo: { cursor: String(events.at(-1) ?? 0), at: 'x' },
      isAll: true,
    },
  });
  const problem = (status: number, code: string, errors?: readonly { pointer: string; detail: string }[]) =>
    new Response(
      JSON.stringify({ type: 'about:blank', title: code, status, detail: `scripted ${code}`, code, ...(errors && { errors }) }),
      {
        status,
        headers: { 'content-type': 'application/problem+json' },
      },
    );

  /** Sends it to a cloud that answers so; with what was left out, and how often was asked. */
  async function send(given: Portion, refuses: (body: UplinkRequest) => Response | undefined) {
    const bodies: UplinkRequest[] = [];
    const dropped: Portion[] = [];
    const cloud = createClient({
      url: 'https://cloud.example',
      fetch: async (request) => {
        const body = (await request.json()) as UplinkRequest;
        bodies.push(body);
        return refuses(body) ?? json(answer);
      },
    });
    const sent = await sendPortion(cloud, head, given, (what) => void dropped.push(what)).catch((error: Error) => error);
    const names = dropped.flatMap(({ nodes, events }) => [
      ...(nodes?.nodes.map(({ node_id }) => node_id) ?? []),
      ...(events?.events.map(({ cursor }) => cursor) ?? []),
    ]);
    return { sent, bodies, names };
  }

  it('is sent without the items that the answer points to', async () => {
    const { sent, bodies, names } = await send(portion(['a', 'b', 'c'], [7, 8]), ({ nodes = [], events = [] }) => {
      const errors = [
        ...nodes.flatMap(({ node_id }, index) => (node_id === 'b' ? [{ pointer: `/nodes/${index}/ip`, detail: 'x' }] : [])),
        ...events.flatMap(({ cursor }, index) => (cursor === '7' ? [{ pointer: `/events/${index}`, detail: 'x' }] : [])),
      ];
      return errors.length === 0 ? undefined : problem(400, 'invalid_body', errors);
    });
    expect(names).toEqual(['b', '7']);
    expect(bodies).toHaveLength(2);
    expect(sent).toMatchObject({ taken: { nodes: { nodes: [{ node_id: 'a' }, { node_id: 'c' }] }, events: { upTo: { cursor: '8' } } } });
  });

  it('is halved until the one is found, and everything else goes through', async () => {
    const given = portion(['a', 'b', 'c', 'd', 'e'], [1]);
    const told: string[] = [];
    const lost: string[] = [];
    let left = given;
    while ((left.nodes?.nodes.length ?? 0) > 0) {
      const { sent, bodies, names } = await send(left, ({ nodes = [] }) =>
        nodes.some(({ node_id }) => node_id === 'c') ? problem(413, 'too_large') : undefined,
      );
      if (sent instanceof Error) throw sent;
      expect(bodies.length).toBeLessThan(6);
      const taken = sent.taken.nodes?.nodes.map(({ node_id }) => node_id) ?? [];
      told.push(...taken);
      lost.push(...names);
      const done = new Set([...taken, ...names]);
      left = portion((left.nodes?.nodes ?? []).map(({ node_id }) => node_id).filter((id) => !done.has(id)));
    }
    expect([told, lost]).toEqual([['a', 'b', 'd', 'e'], ['c']]);
  });

  it('passes an event that is never taken', async () => {
    const { sent, names } = await send(portion([], [5]), ({ events = [] }) => (events.length > 0 ? problem(413, 'too_large') : undefined));
    expect(names).toEqual(['5']);
    expect(sent).toMatchObject({ taken: { events: { events: [], upTo: { cursor: '5' } } } });
  });

  it('is all kept when not even an empty call is taken', async () => {
    const { sent, names } = await send(portion(['a', 'b'], [5]), () => problem(400, 'invalid_body'));
    expect(sent).toMatchObject({ problem: { code: 'invalid_body' } });
    expect(names).toEqual([]);
  });

  it.each([
    [503, 'unavailable'],
    [401, 'unauthenticated'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [409, 'stale_epoch'],
  ])('is not taken apart for a %i', async (status, code) => {
    const { sent, bodies } = await send(portion(['a', 'b']), () => problem(status, code));
    expect(sent).toMatchObject({ problem: { code } });
    expect(bodies).toHaveLength(1);
  });
});
