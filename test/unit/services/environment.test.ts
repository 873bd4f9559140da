import { expect, test } from 'vitest';
import { desired, ServiceWorld, service } from './harness.ts';

test('a service that is stopped while its environment is being made is not started', async () => {
  const world = new ServiceWorld();
  const made = Promise.withResolvers<Record<string, string>>();
  const manager = world.manager({ environment: () => made.promise });
  void manager.apply(desired(1, service('api')));
  await world.clock.advance(100);
  const dropped = manager.apply(desired(2));
  await world.clock.advance(100);
  made.resolve({ BOOTPLANE_SERVICE: 'api' });
  await world.clock.advance(100);
  expect(await dropped).toMatchObject({ generation: 2 });
  expect(world.done()).toEqual([]);
  expect(world.machine.alive('api')).toEqual([]);
});
