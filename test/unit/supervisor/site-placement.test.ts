import { describe, expect, test } from 'vitest';
import { ClusterPlan } from '../../../shared/contract/plan.ts';
import { isFresh, type PlacementTask, placeSite } from '../../../shared/supervisor/site-placement.ts';
import type { MemberRow, PlacementRow } from '../../../shared/supervisor/store/placement.ts';
import { LEADS } from '../../../shared/supervisor/store/schema.ts';

const plan = ClusterPlan.parse({
  services: [
    { name: 'api', version: '1', command: ['x'], placement: { count: 2, capabilities: ['camera'] } },
    { name: 'web', version: '1', command: ['x'] },
  ],
});

const task = (more: Partial<PlacementTask> = {}): PlacementTask => ({
  fleet: 'f',
  node: { node_id: 'a', instance_id: 'i1', site: 's', capabilities: ['camera'], services_running: [], url: null, lead: 1, ttl_seconds: 15 },
  lease: { node_id: 'lead', url: 'http://lead:7420', epoch: 3, renewals: 9, since_epoch: 3 },
  plan,
  plan_hash: 'h',
  ttl_seconds: 15,
  ...more,
});

const member = (node_id: string, more: Partial<MemberRow> = {}): MemberRow => ({
  node_id,
  capabilities: ['camera'],
  url: `http://${node_id}:7420`,
  services_running: [],
  left_at: null,
  lead: 1,
  age_ms: 0,
  ttl_ms: 15_000,
  ...more,
});

const row = (more: Partial<PlacementRow> = {}): PlacementRow => ({
  fleet: 'f',
  site: 's',
  plan_hash: 'h',
  epoch: 3,
  leader_node_id: 'lead',
  takeover: 0,
  computed_at: 0,
  revision: 0,
  age_ms: 15_000,
  placed: { api: ['b', 'c'] },
  proxies: [],
  successors: [],
  ...more,
});

const runs = (name: string, state: 'running' | 'backoff' | 'failed' | 'stopped' = 'running') => [{ name, version: '1', state }];

describe('a stored placement', () => {
  test('answers while plan, leader and TTL hold', () => {
    expect(isFresh(row(), task())).toBe(true);
    expect(isFresh(row({ plan_hash: 'other' }), task())).toBe(false);
    expect(isFresh(row({ epoch: 2 }), task())).toBe(false);
    expect(isFresh(row({ leader_node_id: 'b' }), task())).toBe(false);
    expect(isFresh(row({ age_ms: 15_001 }), task())).toBe(false);
    expect(isFresh(row({ age_ms: -1 }), task())).toBe(false);
  });

  test('is made again for a node that could take a free place', () => {
    expect(isFresh(row({ placed: { api: ['b'] } }), task())).toBe(false);
    expect(isFresh(row({ placed: {} }), task())).toBe(false);
    expect(isFresh(row({ placed: { api: ['a'] } }), task())).toBe(true);
    const blind = { ...task().node, capabilities: [] };
    expect(isFresh(row({ placed: {} }), task({ node: blind }))).toBe(true);
  });

  test('is made again for a node that runs what others were only told to start, and that one keeps it', () => {
    const node = { ...task().node, services_running: runs('api') };
    expect(isFresh(row(), task({ node }))).toBe(false);
    const members = [member('a', { services_running: runs('api') }), member('b', { services_running: runs('api') }), member('c')];
    expect(placeSite(task({ node }), members, row()).placed.api?.toSorted()).toEqual(['a', 'b']);
    expect(isFresh(row(), task({ node: { ...node, services_running: runs('api', 'stopped') } }))).toBe(true);
  });

  test('while a new leader settles, only for a node that has the service already', () => {
    const settling = { ...task().lease, renewals: 2 };
    expect(isFresh(row({ takeover: 1, placed: {} }), task({ lease: settling }))).toBe(true);
    const node = { ...task().node, services_running: runs('api') };
    expect(isFresh(row({ takeover: 1 }), task({ lease: settling, node }))).toBe(false);
    expect(isFresh(row({ takeover: 1, placed: {} }), task())).toBe(false);
  });
});

describe('a new placement', () => {
  test('names only services with a count', () => {
    const computed = placeSite(task(), [member('a'), member('b')], undefined);
    expect(Object.keys(computed.placed)).toEqual(['api']);
    expect(computed).toMatchObject({ fleet: 'f', site: 's', plan_hash: 'h', epoch: 3, leader_node_id: 'lead' });
  });

  test('the node that asks is alive, whenever it was heard', () => {
    const members = [member('a', { age_ms: 1e9 }), member('b', { age_ms: 1e9 })];
    expect(placeSite(task(), members, undefined).placed.api).toEqual(['a']);
  });

  test('a service between two tries keeps its place, one that gave up does not', () => {
    const one = task({ plan: ClusterPlan.parse({ services: [{ name: 'api', version: '1', command: ['x'], placement: { count: 1 } }] }) });
    for (const winner of ['a', 'b', 'c']) {
      const members = ['a', 'b', 'c'].map((id) =>
        member(id, { services_running: id === winner ? runs('api', 'backoff') : runs('api', 'failed') }),
      );
      expect(placeSite(one, members, undefined).placed.api).toEqual([winner]);
    }
  });

  test('tells at most eight successors, never the leader, a silent node, or one without a url', () => {
    const many = Array.from({ length: 20 }, (_, index) => member(`n${index}`));
    const members = [
      ...many,
      member('lead'),
      member('late', { age_ms: 15_001 }),
      member('gone', { left_at: 1 }),
      member('hidden', { url: null }),
    ];
    const { successors } = placeSite(task(), members, undefined);
    expect(successors).toHaveLength(8);
    const few = placeSite(task(), members.slice(19), undefined).successors;
    expect(few).toEqual([{ node_id: 'n19', url: 'http://n19:7420' }]);
  });

  test('names those that can sign before those without the fleet key, and has room for the first', () => {
    const last = Array.from({ length: 9 }, (_, n) => member(`m${n}`, { lead: LEADS.last }));
    const { successors } = placeSite(task(), [...last, member('k1'), member('k2'), member('never', { lead: LEADS.never })], undefined);
    expect(successors).toHaveLength(8);
    expect(
      successors
        .slice(0, 2)
        .map(({ node_id }) => node_id)
        .toSorted(),
    ).toEqual(['k1', 'k2']);
    expect(successors.slice(2).every(({ node_id }) => node_id.startsWith('m'))).toBe(true);
  });

  test('a takeover lasts as long as its epoch, also when it is placed again', () => {
    const taken = task({ lease: { ...task().lease, renewals: 0 } });
    const first = placeSite(taken, [member('a')], row({ epoch: 2, leader_node_id: 'old', placed: {} }));
    expect(first).toMatchObject({ takeover: 1, placed: { api: [] } });
    expect(placeSite(taken, [member('a')], row(first))).toMatchObject({ takeover: 1, placed: { api: [] } });
    expect(placeSite(task(), [member('a')], row(first))).toMatchObject({ takeover: 1, placed: { api: ['a'] } });
  });

  test('a leader that comes back takes over only where another led in between', () => {
    const before = row({ epoch: 2, leader_node_id: 'lead', placed: {} });
    const back = task({ lease: { ...task().lease, epoch: 5, renewals: 0, since_epoch: 5 } });
    expect(placeSite(back, [member('a')], before)).toMatchObject({ takeover: 1, placed: { api: [] } });
    const lapsed = task({ lease: { ...task().lease, epoch: 5, renewals: 0, since_epoch: 2 } });
    expect(placeSite(lapsed, [member('a')], before)).toMatchObject({ takeover: 0, placed: { api: ['a'] } });
  });

  test('a leader that comes back takes no copy away by what it knew before the others led', () => {
    const back = task({ lease: { ...task().lease, epoch: 5, renewals: 0, since_epoch: 5 } });
    const members = ['a', 'b', 'c'].map((id) => member(id, { services_running: runs('api') }));
    expect(placeSite(back, members, row({ epoch: 2, placed: { api: ['a', 'b'] } })).placed.api?.toSorted()).toEqual(['a', 'b', 'c']);
  });

  test('nor starts one by it: who runs a service may not have been heard yet', () => {
    const back = task({ lease: { ...task().lease, epoch: 5, renewals: 0, since_epoch: 5 } });
    const before = row({ epoch: 2, placed: { api: ['a'] } });
    const first = placeSite(back, [member('a'), member('b', { age_ms: 1e9 })], before);
    expect(first.placed.api).toEqual([]);
    // Once it has placed itself, who was told to start keeps that.
    expect(placeSite(back, [member('a')], row({ ...first, placed: { api: ['a'] } })).placed.api).toEqual(['a']);
  });

  test('the first leader of a site has taken nothing over', () => {
    const first = task({ lease: { ...task().lease, epoch: 1, renewals: 0 } });
    expect(placeSite(first, [member('a')], undefined)).toMatchObject({ takeover: 0, placed: { api: ['a'] } });
    const later = task({ lease: { ...task().lease, epoch: 2, renewals: 0 } });
    expect(placeSite(later, [member('a')], undefined)).toMatchObject({ takeover: 1, placed: { api: [] } });
  });
});
