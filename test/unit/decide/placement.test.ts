import { describe, expect, test } from 'vitest';
import { ClusterPlan } from '../../../shared/contract/plan.ts';
import { type PlacementNode, placeServices, servicesOn } from '../../../shared/decide/placement.ts';

const node = (node_id: string, more: Partial<PlacementNode> = {}): PlacementNode => ({
  node_id,
  role: 'worker',
  capabilities: [],
  liveness: 'online',
  ...more,
});
const planWith = (placement: Record<string, unknown>) =>
  ClusterPlan.parse({ services: [{ name: 'api', version: '1', command: ['api'], placement }] });
const place = (
  placement: Record<string, unknown>,
  nodes: PlacementNode[],
  running: string[] = [],
  placed: string[] = [],
  settling = false,
) =>
  placeServices(planWith(placement), 'shop', nodes, { running: { api: running }, placed: { api: placed } }, { settling }).api?.toSorted();

const three = [node('a'), node('b'), node('c')];

describe('filters', () => {
  test('an empty placement means every live node', () => {
    expect(place({}, three)).toEqual(['a', 'b', 'c']);
  });

  test('sites', () => {
    expect(place({ sites: ['shop', 'lab'] }, three)).toEqual(['a', 'b', 'c']);
    expect(place({ sites: ['lab'] }, three)).toEqual([]);
  });

  test('roles', () => {
    expect(place({ roles: ['leader', 'proxy'] }, [node('a'), node('b', { role: 'proxy' }), node('c', { role: 'leader' })])).toEqual([
      'b',
      'c',
    ]);
  });

  test('all capabilities are needed', () => {
    const nodes = [node('a', { capabilities: ['camera'] }), node('b', { capabilities: ['gpu', 'camera', 'proxy'] })];
    expect(place({ capabilities: ['camera', 'gpu'] }, nodes)).toEqual(['b']);
  });

  test('nodes by name', () => {
    expect(place({ nodes: ['b', 'nobody'] }, three)).toEqual(['b']);
  });
});

describe('count', () => {
  test('none and more than there are', () => {
    expect(place({ count: 0 }, three)).toEqual([]);
    expect(place({ count: 7 }, three)).toEqual(['a', 'b', 'c']);
  });

  test('who runs a service keeps it, then who was about to', () => {
    for (const { node_id } of three) expect(place({ count: 1 }, three, [node_id])).toEqual([node_id]);
    for (const { node_id } of three) expect(place({ count: 1 }, three, [], [node_id])).toEqual([node_id]);
    expect(place({ count: 1 }, three, ['b'], ['a', 'c'])).toEqual(['b']);
    expect(place({ count: 2 }, three, ['c'], ['a'])).toEqual(['a', 'c']);
  });

  test('an incumbent that is not eligible any more has no claim', () => {
    expect(place({ count: 1, nodes: ['b'] }, three, ['a'])).toEqual(['b']);
  });

  test('a late node keeps what it has and gets nothing new', () => {
    const nodes = [node('a', { liveness: 'late' }), node('b')];
    expect(place({ count: 1 }, nodes, ['a'])).toEqual(['a']);
    expect(place({ count: 2 }, nodes)).toEqual(['b']);
    expect(place({ count: 1 }, [node('a', { liveness: 'late' })])).toEqual([]);
  });

  test('of too many copies the one on a late node goes first, and none for one that is not up yet', () => {
    for (const id of ['a', 'b', 'c']) {
      const nodes = three.map((one) => ({ ...one, liveness: one.node_id === id ? ('late' as const) : one.liveness }));
      const online = ['a', 'b', 'c'].filter((one) => one !== id);
      expect(place({ count: 2 }, nodes, ['a', 'b', 'c'])).toEqual(online);
      expect(place({ count: 2 }, nodes, [], ['a', 'b', 'c'])).toEqual(online);
      expect(place({ count: 1 }, nodes, [id], online)).toEqual([id]);
      expect(place({ count: 2 }, nodes, ['a', 'b', 'c'], [], true)).toEqual(['a', 'b', 'c']);
    }
  });

  test('a lost node and one that left lose what they had', () => {
    for (const liveness of ['lost', 'left'] as const) {
      expect(place({ count: 1 }, [node('a', { liveness }), node('b')], ['a'], ['a'])).toEqual(['b']);
    }
  });

  test('after a takeover placement stays as it is reported: nobody loses a place to the count, nobody gets one', () => {
    expect(place({ count: 1 }, three, ['a', 'b'], [], true)).toEqual(['a', 'b']);
    expect(place({ count: 1 }, three, ['a', 'b'], ['c'], true)).toEqual(['a', 'b']);
    expect(place({ count: 1 }, three, ['a', 'b'], [], false)).toHaveLength(1);
    expect(place({ count: 2 }, three, ['a'], [], true)).toEqual(['a']);
    expect(place({ count: 2 }, three, ['a'], ['b', 'c'], true)).toHaveLength(2);
    expect(place({ count: 1 }, three, [], [], true)).toEqual([]);
  });
});

describe('the services of one node', () => {
  const plan = ClusterPlan.parse({
    services: [
      { name: 'second', version: '2', command: ['x'], placement: { count: 1 } },
      { name: 'first', version: '1', command: ['x'] },
      { name: 'elsewhere', version: '1', command: ['x'], placement: { nodes: ['b'] } },
      { name: 'constructor', version: '1', command: ['x'], placement: { count: 1 } },
    ],
  });
  const named = (placed: Record<string, string[]>) => servicesOn(plan, 'shop', node('a'), placed).map(({ name }) => name);

  test('come in plan order; without count they need no placement', () => {
    expect(named({ second: ['a'] })).toEqual(['second', 'first']);
    expect(named({ second: ['b'] })).toEqual(['first']);
    expect(named({})).toEqual(['first']);
  });

  test('a placement made before a filter changed gives nothing to a node that is not eligible now', () => {
    const narrowed = ClusterPlan.parse({
      services: [{ name: 'api', version: '1', command: ['x'], placement: { count: 1, roles: ['proxy'] } }],
    });
    expect(servicesOn(narrowed, 'shop', node('a'), { api: ['a'] })).toEqual([]);
  });

  test('a service may be named like a property that all objects have', () => {
    expect(placeServices(plan, 'shop', three, { running: {} }).constructor).toHaveLength(1);
    expect(named({ constructor: ['a'] })).toEqual(['first', 'constructor']);
  });
});
