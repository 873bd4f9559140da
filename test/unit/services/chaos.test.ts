import fc from 'fast-check';
import { expect, test } from 'vitest';
import { desired, ServiceWorld, service } from './harness.ts';

type Wanted = readonly (readonly [name: string, version: string])[];
type Step =
  | { readonly kind: 'apply'; readonly services: Wanted }
  | { readonly kind: 'crash_service' | 'fall_ill' | 'recover'; readonly name: string }
  | { readonly kind: 'crash_node' }
  | { readonly kind: 'wait'; readonly ms: number };

const NAMES = ['a', 'b', 'c'];
const name = fc.constantFrom(...NAMES);
const services = fc.uniqueArray(fc.tuple(name, fc.constantFrom('1', '2')), { selector: ([one]) => one });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('apply' as const), services }),
  fc.record({ kind: fc.constantFrom('crash_service' as const, 'fall_ill' as const, 'recover' as const), name }),
  fc.record({ kind: fc.constant('crash_node' as const) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 15, 90, 700, 8_000) }),
);
const COMMANDS: Record<string, string[]> = { a: ['stay'], b: ['with-child'], c: ['ignore-sigterm'] };

test('whatever happens: never two copies, and at last just what the plan wants, without orphans', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 14 }), services, async (steps, last) => {
      const world = new ServiceWorld();
      const plan = (generation: number, wanted: Wanted) =>
        desired(generation, ...wanted.map(([one, version]) => service(one, { version, command: COMMANDS[one], stop_grace_seconds: 1 })));
      let manager = world.manager();
      for (const [generation, one] of steps.entries()) {
        if (one.kind === 'apply')
          void manager.apply(
            plan(
              generation,
              [...one.services].map(([n, v]) => [n, v]),
            ),
          );
        if (one.kind === 'crash_service') world.machine.crash(one.name);
        if (one.kind === 'fall_ill') world.ill.set(one.name, 'ill');
        if (one.kind === 'recover') world.ill.delete(one.name);
        if (one.kind === 'wait') await world.clock.advance(one.ms);
        if (one.kind === 'crash_node') {
          manager.detach();
          // What a dead process had begun does not go on.
          await world.clock.advance(0);
          manager = world.manager();
          await manager.adopt();
        }
      }
      world.ill.clear();
      const applied = manager.apply(plan(100, last));
      await world.clock.advance(120_000);
      await applied;
      expect(world.machine.doubles).toEqual([]);
      const alive = world.machine.processes.filter((process) => process.alive).map((process) => `${process.name} ${process.version}`);
      expect(alive.sort()).toEqual(last.map((one) => one.join(' ')).sort());
      expect(world.machine.processes.filter((process) => process.child)).toEqual([]);
      expect(manager.reports().map(({ state }) => state)).toEqual(last.map(() => 'running'));
      const stopped = manager.stop();
      await world.clock.advance(10_000);
      await stopped;
      expect(world.machine.processes.filter((process) => process.alive || process.child)).toEqual([]);
    }),
    { numRuns: 60 },
  );
});
