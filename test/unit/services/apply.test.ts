import { describe, expect, test } from 'vitest';
import { idempotencyKey } from '../../../shared/contract/canonical.ts';
import { desired, ServiceWorld, service } from './harness.ts';

describe('apply', () => {
  test('starts in plan order, each when the one before is healthy', async () => {
    const world = new ServiceWorld();
    world.ill.set('db', 'connection refused');
    const manager = world.manager();
    const applied = manager.apply(desired(1, service('db'), service('api')));
    await world.clock.advance(3_000);
    expect(world.done()).toEqual(['start db 1']);
    expect(manager.reports()).toEqual([{ name: 'db', version: '1', state: 'starting', health: 'connection refused', restarts: 0 }]);
    expect(manager.status()?.status).toBe('pending');
    world.ill.clear();
    await world.clock.advance(1_100);
    expect(world.done()).toEqual(['start api 1']);
    expect(await applied).toMatchObject({ status: 'applied', action: 'reconcile', generation: 1, attempt: 1, incompatible: [] });
    expect(manager.reports().map(({ name, state }) => `${name} ${state}`)).toEqual(['db running', 'api running']);
  });

  test('a service that does not get healthy is reported and does not keep later ones from starting', async () => {
    const world = new ServiceWorld();
    world.ill.set('db', 'HTTP 503');
    const manager = world.manager();
    const applied = manager.apply(desired(1, service('db'), service('api')));
    await world.clock.advance(9_900);
    expect(world.done()).toEqual(['start db 1']);
    await world.clock.advance(1_000);
    expect(await applied).toMatchObject({ status: 'failed', message: expect.stringContaining('HTTP 503') });
    expect(world.told()).toEqual(['start-service service db failed', 'start-service service api applied', 'reconcile failed']);
    expect(manager.status()).toMatchObject({ status: 'failed' });
    world.ill.clear();
    await world.clock.advance(5_000);
    expect(manager.status()).toMatchObject({ status: 'applied' });
    expect(world.told()).toEqual(['reconcile applied']);
  });

  test('without a check a service runs once it has lived for a moment', async () => {
    const world = new ServiceWorld();
    const manager = world.manager();
    const applied = manager.apply(desired(1, service('api', { health: undefined })));
    await world.clock.advance(200);
    expect(manager.reports()[0]?.state).toBe('starting');
    await world.clock.advance(100);
    expect(await applied).toMatchObject({ status: 'applied' });
    expect(world.probes).toEqual([]);
  });

  test('without a check a service that ends at once is not called applied', async () => {
    const world = new ServiceWorld();
    const applied = world.manager().apply(desired(1, service('api', { health: undefined, command: ['exit', '7', '5'] })));
    await world.clock.advance(5_000);
    expect(await applied).toMatchObject({ status: 'failed', message: expect.stringContaining('exited with code 7') });
  });

  test('the same document again is silent and does nothing', async () => {
    const { world, manager } = await running(desired(1, service('db'), service('api')));
    const again = manager.apply(desired(1, service('db'), service('api')));
    await world.clock.advance(10);
    expect(await again).toMatchObject({ status: 'unchanged', attempt: 1 });
    expect(world.told()).toEqual([]);
    expect(world.done()).toEqual([]);
  });

  test('a new document that changes nothing here is told once, so that its generation is known', async () => {
    const { world, manager } = await running(desired(1, service('api')));
    expect(await manager.apply(desired(2, service('api')))).toMatchObject({ status: 'unchanged', generation: 2 });
    expect(world.told()).toEqual(['reconcile unchanged']);
    await manager.apply(desired(2, service('api')));
    expect(world.told()).toEqual([]);
  });

  test('events name the run: idempotency key, attempt, generation, hash, duration', async () => {
    const { events } = await running(desired(4, service('api')));
    const key = await idempotencyKey('n1', 'services', 4, desired(4).hash);
    expect(events).toEqual([
      {
        node_id: 'n1',
        component: 'services',
        action: 'start-service service api',
        status: 'applied',
        duration_ms: 20,
        attempt: 1,
        ...named(key),
      },
      {
        node_id: 'n1',
        component: 'services',
        action: 'reconcile',
        status: 'applied',
        message: 'start-service service api',
        duration_ms: 20,
        attempt: 1,
        ...named(key),
      },
    ]);
    function named(idempotency_key: string) {
      return { idempotency_key, generation: 4, hash: desired(4).hash };
    }
  });

  test('a new version restarts only that service', async () => {
    const { world, manager } = await running(desired(1, service('db'), service('api'), service('web')));
    const applied = manager.apply(desired(2, service('db'), service('api', { version: '2' }), service('web')));
    await world.clock.advance(100);
    expect(world.done()).toEqual(['SIGTERM api 1', 'start api 2']);
    expect(await applied).toMatchObject({ status: 'applied', message: 'restart-service service api' });
  });

  test('between two versions the new one is reported as starting, also when a later apply cuts in', async () => {
    const slow = { command: ['ignore-sigterm'], stop_grace_seconds: 3 };
    const { world, manager } = await running(desired(1, service('db'), service('api', slow)));
    const states = () => manager.reports().map(({ name, version, state }) => `${name} ${version} ${state}`);
    const second = manager.apply(desired(2, service('db'), service('api', { ...slow, version: '2' })));
    await world.clock.advance(1_000);
    expect(world.done()).toEqual(['SIGTERM api 1']);
    expect(states()).toEqual(['db 1 running', 'api 2 starting']);
    const third = manager.apply(desired(3, service('db'), service('api', { version: '3' })));
    await world.clock.advance(2_500);
    await Promise.all([second, third]);
    expect(world.done()).toEqual(['SIGKILL api 1', 'start api 3']);
    expect(states()).toEqual(['db 1 running', 'api 3 running']);
  });

  test('a service that the plan drops has no place any more while it stops', async () => {
    const slow = { command: ['ignore-sigterm'], stop_grace_seconds: 3 };
    const { world, manager } = await running(desired(1, service('api', slow)));
    const dropped = manager.apply(desired(2));
    await world.clock.advance(1_000);
    expect(manager.reports().map(({ state }) => state)).toEqual(['stopping']);
    await world.clock.advance(2_500);
    await dropped;
    expect(manager.reports()).toEqual([]);
  });

  test('a change of placement, health or stop time restarts nothing and is used from then on', async () => {
    const { world, manager } = await running(desired(1, service('api')));
    world.ill.set('api', 'HTTP 500');
    const changed = service('api', {
      placement: { roles: ['leader'] },
      health: { tcp: '127.0.0.1:5', timeout_seconds: 1, interval_seconds: 1 },
      stop_grace_seconds: 2,
    });
    await manager.apply(desired(2, changed));
    expect(world.done()).toEqual([]);
    await world.clock.advance(5_000);
    expect(world.probes.at(-1)).toMatchObject({ timeout_ms: 1_000 });
  });

  test('what the plan drops is stopped in reverse order, before anything starts', async () => {
    const { world, manager } = await running(desired(1, service('a'), service('b'), service('c')));
    const applied = manager.apply(desired(2, service('d'), service('a')));
    await world.clock.advance(100);
    await applied;
    expect(world.done()).toEqual(['SIGTERM c 1', 'SIGTERM b 1', 'start d 1']);
    expect(manager.reports().map(({ name }) => name)).toEqual(['d', 'a']);
  });

  test("gives the plan's environment and the node's, which wins", async () => {
    const { world } = await running(desired(1, service('api', { env: { PORT: '1', BOOTPLANE_SERVICE: 'forged' } })));
    expect(world.machine.alive('api')[0]?.spec.env).toEqual({ PORT: '1', BOOTPLANE_SERVICE: 'api' });
    expect(world.probes[0]).toMatchObject({ service: 'api', env: { PORT: '1', BOOTPLANE_SERVICE: 'api' } });
  });

  test('prepares before the start and runs where that says', async () => {
    const world = new ServiceWorld();
    const manager = world.manager({ prepare: async ({ name }) => ({ cwd: `/artifacts/${name}` }) });
    const applied = manager.apply(desired(1, service('api', { user: 'svc' })));
    await world.clock.advance(50);
    await applied;
    expect(world.machine.alive('api')[0]?.spec).toMatchObject({ cwd: '/artifacts/api', user: 'svc' });
    expect(world.probes[0]).toMatchObject({ cwd: '/artifacts/api', user: 'svc' });
  });

  test('an artifact that nobody can get is a failure, not a start without it', async () => {
    const world = new ServiceWorld();
    const applied = world
      .manager()
      .apply(desired(1, service('api', { artifact: { sha256: 'a'.repeat(64), path: 'x' }, restart: { max: 0 } })));
    await world.clock.advance(100);
    expect(await applied).toMatchObject({ status: 'failed', message: expect.stringContaining('artifact') });
    expect(world.machine.processes).toEqual([]);
  });

  test('a host that does not answer is a failed run, not a rejection', async () => {
    const { world, manager } = await running(desired(1, service('api')));
    world.machine.list_error = new Error('no more file handles');
    expect(await manager.apply(desired(2))).toMatchObject({ status: 'failed', message: expect.stringContaining('no more file handles') });
    expect(world.done()).toEqual([]);
    world.machine.list_error = new Error('no more file handles');
    expect(await manager.diff(desired(2))).toMatchObject({ actions: [], failed: expect.stringContaining('no more file handles') });
  });

  test('runs on when the disk gives no attempt number', async () => {
    const world = new ServiceWorld();
    const manager = world.manager({ attempts: { next: () => Promise.reject(new Error('disk full')) } });
    const applied = manager.apply(desired(1, service('api')));
    await world.clock.advance(100);
    expect(await applied).toMatchObject({ status: 'applied' });
    expect(world.told()).toEqual(['start-service service api applied', 'reconcile applied']);
  });
});

describe('an apply that is superseded', () => {
  test('stops a service that still waits for its health', async () => {
    const world = new ServiceWorld();
    world.ill.set('db', 'HTTP 503');
    const manager = world.manager();
    const first = manager.apply(desired(1, service('db'), service('api')));
    await world.clock.advance(1_000);
    const second = manager.apply(desired(2, service('api')));
    await world.clock.advance(100);
    expect(await first).toMatchObject({ status: 'pending', generation: 1 });
    expect(await second).toMatchObject({ status: 'applied', generation: 2 });
    expect(world.done()).toEqual(['start db 1', 'SIGTERM db 1', 'start api 1']);
  });

  test('a start that is under way when the next comes makes no second copy', async () => {
    const world = new ServiceWorld();
    const hold = Promise.withResolvers<void>();
    world.machine.held.set('api', hold.promise);
    const manager = world.manager();
    const first = manager.apply(desired(1, service('api')));
    await world.clock.advance(100);
    const second = manager.apply(desired(2, service('api', { version: '2' })));
    await world.clock.advance(100);
    hold.resolve();
    await world.clock.advance(100);
    await Promise.all([first, second]);
    expect(world.done()).toEqual(['start api 1', 'SIGTERM api 1', 'start api 2']);
    expect(world.machine.alive('api').map(({ version }) => version)).toEqual(['2']);
  });

  test('a restart that is under way when an apply looks is not taken for a second copy', async () => {
    const { world, manager } = await running(desired(1, service('api')));
    const hold = Promise.withResolvers<void>();
    world.machine.slow.set('api', hold.promise);
    world.machine.crash('api');
    await world.clock.advance(2_000);
    expect(world.done()).toEqual(['start api 1']);
    const applied = manager.apply(desired(2, service('api')));
    await world.clock.advance(100);
    hold.resolve();
    await world.clock.advance(100);
    expect(await applied).toMatchObject({ generation: 2 });
    expect(world.done()).toEqual([]);
    expect(manager.reports()[0]).toMatchObject({ state: 'running', restarts: 1 });
  });

  test('only the last of many is carried out', async () => {
    const world = new ServiceWorld();
    const manager = world.manager();
    const runs = [1, 2, 3, 4].map((generation) => manager.apply(desired(generation, service(`s${generation}`))));
    await world.clock.advance(100);
    expect((await Promise.all(runs)).map(({ status }) => status)).toEqual(['pending', 'pending', 'pending', 'applied']);
    expect(world.done()).toEqual(['start s4 1']);
  });
});

async function running(plan: ReturnType<typeof desired>) {
  const world = new ServiceWorld();
  const manager = world.manager();
  const applied = manager.apply(plan);
  await world.clock.advance(1_000);
  await applied;
  world.done();
  return { world, manager, events: world.events.splice(0) };
}
