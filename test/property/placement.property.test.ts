import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Role } from '../../shared/contract/ids.ts';
import { ClusterPlan } from '../../shared/contract/plan.ts';
import { isEligible, type PlacementNode, placeServices } from '../../shared/decide/placement.ts';

const SITE = 'shop';
const CAPABILITIES = ['camera', 'gpu', 'proxy'];
const NODE_IDS = Array.from({ length: 12 }, (_, index) => `n${index}`);

const nodes = (liveness: readonly PlacementNode['liveness'][] = ['online', 'late', 'lost', 'left']) =>
  fc.uniqueArray(
    fc.record({
      node_id: fc.constantFrom(...NODE_IDS),
      role: fc.constantFrom(...Role.options),
      capabilities: fc.subarray(CAPABILITIES),
      liveness: fc.constantFrom(...liveness),
    }),
    { selector: ({ node_id }) => node_id, maxLength: 12 },
  );

const plan = fc
  .uniqueArray(fc.constantFrom('api', 'web', 'vision', 'sync', 'toString'), { minLength: 1 })
  .chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc.record({
          name: fc.constant(name),
          version: fc.constant('1'),
          command: fc.constant(['x']),
          placement: fc.record(
            {
              sites: fc.subarray([SITE, 'lab']),
              roles: fc.subarray([...Role.options]),
              capabilities: fc.subarray(CAPABILITIES, { maxLength: 1 }),
              nodes: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.subarray(NODE_IDS) }),
              count: fc.integer({ min: 0, max: 5 }),
            },
            { requiredKeys: [] },
          ),
        }),
      ),
    ),
  )
  .map((services) => ClusterPlan.parse({ services }));

const placed = fc.dictionary(fc.constantFrom('api', 'web', 'vision', 'sync', 'toString'), fc.subarray(NODE_IDS));
const incumbents = fc.record({ running: placed, placed });

const isLive = ({ liveness }: PlacementNode) => liveness === 'online' || liveness === 'late';

describe('placement', () => {
  test('never more than count, never twice, only eligible live nodes', () => {
    fc.assert(
      fc.property(plan, nodes(), incumbents, (thePlan, theNodes, have) => {
        const result = placeServices(thePlan, SITE, theNodes, have);
        for (const { name, placement } of thePlan.services) {
          const chosen = result[name] ?? [];
          expect(new Set(chosen).size).toBe(chosen.length);
          expect(chosen.length).toBeLessThanOrEqual(placement.count ?? theNodes.length);
          for (const id of chosen) {
            const node = theNodes.find(({ node_id }) => node_id === id)!;
            expect(isLive(node) && isEligible(placement, SITE, node)).toBe(true);
          }
        }
      }),
    );
  });

  test('as many as count asks for when enough online nodes are eligible', () => {
    fc.assert(
      fc.property(plan, nodes(), incumbents, (thePlan, theNodes, have) => {
        const result = placeServices(thePlan, SITE, theNodes, have);
        for (const { name, placement } of thePlan.services) {
          const able = theNodes.filter((node) => node.liveness === 'online' && isEligible(placement, SITE, node)).length;
          expect(result[name]?.length).toBeGreaterThanOrEqual(Math.min(able, placement.count ?? able));
        }
      }),
    );
  });

  test('the order of the nodes does not matter', () => {
    fc.assert(
      fc.property(
        plan,
        nodes().chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length }))),
        incumbents,
        (thePlan, [one, other], have) => {
          expect(placeServices(thePlan, SITE, one, have)).toEqual(placeServices(thePlan, SITE, other, have));
        },
      ),
    );
  });

  test('losing a node moves only that node’s share', () => {
    fc.assert(
      fc.property(plan, nodes(['online']), incumbents, fc.nat(), (thePlan, theNodes, have, pick) => {
        fc.pre(theNodes.length > 0);
        const gone = theNodes[pick % theNodes.length]!.node_id;
        const left = theNodes.filter(({ node_id }) => node_id !== gone);
        const before = placeServices(thePlan, SITE, theNodes, have);
        // With the same knowledge, and once everybody reports what it was given.
        for (const known of [have, { running: before }, { running: {}, placed: before }]) {
          const after = placeServices(thePlan, SITE, left, known);
          for (const { name } of thePlan.services) {
            expect(after[name]).toEqual(expect.arrayContaining(before[name]!.filter((id) => id !== gone)));
            if (!before[name]!.includes(gone)) expect(after[name]!.toSorted()).toEqual(before[name]!.toSorted());
          }
        }
      }),
    );
  });

  test('a new node takes nothing from those that have it', () => {
    fc.assert(
      fc.property(plan, nodes(['online']), incumbents, (thePlan, theNodes, have) => {
        fc.pre(theNodes.length > 0);
        const [added, ...first] = theNodes;
        const before = placeServices(thePlan, SITE, first, have);
        const after = placeServices(thePlan, SITE, [added!, ...first], { running: before });
        for (const { name, placement } of thePlan.services) {
          expect(after[name]).toEqual(expect.arrayContaining(before[name]!));
          if (before[name]!.length === placement.count) expect(after[name]!.toSorted()).toEqual(before[name]!.toSorted());
        }
      }),
    );
  });

  test('placing again what was placed changes nothing', () => {
    fc.assert(
      fc.property(plan, nodes(), incumbents, (thePlan, theNodes, have) => {
        const once = placeServices(thePlan, SITE, theNodes, have);
        for (const known of [{ running: once }, { running: {}, placed: once }, { running: have.running, placed: once }]) {
          const again = placeServices(thePlan, SITE, theNodes, known);
          for (const { name } of thePlan.services) expect(again[name]!.toSorted()).toEqual(once[name]!.toSorted());
        }
      }),
    );
  });

  test('a change of leader stops nothing that runs where it may', () => {
    fc.assert(
      fc.property(plan, nodes(), incumbents, (thePlan, theNodes, have) => {
        const result = placeServices(thePlan, SITE, theNodes, have, { settling: true });
        for (const { name, placement } of thePlan.services) {
          const running = Object.hasOwn(have.running, name) ? have.running[name]! : [];
          const may = theNodes.filter((node) => isLive(node) && isEligible(placement, SITE, node) && running.includes(node.node_id));
          expect(result[name]).toEqual(expect.arrayContaining(may.map(({ node_id }) => node_id)));
        }
      }),
    );
  });
});
