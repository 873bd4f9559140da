import { describe, expect, test } from 'vitest';
import { serviceSpecHash } from '../../../shared/reconcile/services/spec-hash.ts';
import { fakeProcessHost } from '../../support/fake-process-host.ts';
import { desired, ServiceWorld, service } from './harness.ts';

describe('after a crash of the node', () => {
  test('nothing is stopped before the first apply, and it shows what it found', async () => {
    const world = await crashed(service('api'), service('old'));
    const manager = world.manager();
    await manager.adopt();
    await world.clock.advance(600_000);
    expect(world.done()).toEqual([]);
    expect(manager.reports().map(({ name, state }) => `${name} ${state}`)).toEqual(['api running', 'old running']);
    expect(manager.status()).toBeUndefined();
  });

  test('while the first apply waits for one service, those whose turn comes later are still shown as running', async () => {
    const world = await crashed(service('api'), service('web'));
    world.ill.set('api', 'HTTP 503');
    const manager = world.manager();
    await manager.adopt();
    void manager.apply(desired(1, service('api'), service('web')));
    await world.clock.advance(1_000);
    expect(manager.reports().map(({ name }) => name)).toEqual(['api', 'web']);
    expect(world.done()).toEqual([]);
  });

  test('the first apply adopts what is still wanted, with its pid, and ends the rest', async () => {
    const world = await crashed(service('api'), service('old'), service('web'));
    const pid = world.machine.alive('api')[0]?.ref.pid;
    const manager = world.manager();
    await manager.adopt();
    const applied = manager.apply(desired(2, service('api'), service('web', { version: '2' })));
    await world.clock.advance(1_000);
    expect(await applied).toMatchObject({ status: 'applied' });
    expect(world.done()).toEqual(['SIGTERM web 1', 'SIGTERM old 1', 'start web 2']);
    expect(world.machine.alive('api').map(({ ref }) => ref.pid)).toEqual([pid]);
    expect(world.told()).toContain('adopt-service service api applied');
  });

  test('an adopted service is supervised like any other', async () => {
    const world = await crashed(service('api'));
    const manager = world.manager();
    await apply(world, manager, service('api'));
    world.machine.crash('api');
    await world.clock.advance(3_000);
    expect(world.done()).toEqual(['start api 1']);
    expect(manager.reports()[0]).toMatchObject({ state: 'running', restarts: 1, health: 'HTTP 200' });
  });

  test('of two copies the older stays', async () => {
    const world = await crashed(service('api'));
    await fakeProcessHost(world.machine).start(await specOf(service('api')));
    const [older, younger] = world.machine.alive('api');
    await apply(world, world.manager(), service('api'));
    expect(older?.alive).toBe(true);
    expect(younger?.alive).toBe(false);
  });

  test('children of a service that ended meanwhile are killed before it is started again', async () => {
    const world = await crashed(service('api', { command: ['with-child'] }));
    world.machine.crash('api');
    world.done();
    await apply(world, world.manager(), service('api', { command: ['with-child'] }));
    expect(world.done()).toEqual(['SIGTERM api 1', 'start api 1']);
    expect(world.machine.processes.filter(({ child }) => child)).toEqual([]);
  });

  test('a left-over that does not end after SIGKILL has no second copy beside it, and the next apply tries again', async () => {
    const world = await crashed(service('api', { command: ['stuck'] }), service('web'));
    const manager = world.manager();
    const first = manager.apply(desired(2, service('api'), service('web')));
    await world.clock.advance(60_000);
    expect(await first).toMatchObject({ status: 'failed', message: expect.stringContaining('SIGKILL') });
    expect(world.machine.alive('api').length).toBe(1);
    expect(manager.status()).toMatchObject({ status: 'failed', message: expect.stringContaining('SIGKILL') });
    for (const process of world.machine.alive('api')) world.machine.end(process, {});
    const second = manager.apply(desired(2, service('api'), service('web')));
    await world.clock.advance(1_000);
    expect(await second).toMatchObject({ status: 'applied' });
  });

  test('a service whose stop failed is started anew when the plan has it again, once its process is gone', async () => {
    const world = new ServiceWorld();
    const stuck = service('api', { command: ['stuck'] });
    const manager = world.manager();
    await apply(world, manager, stuck);
    const without = manager.apply(desired(2));
    await world.clock.advance(20_000);
    expect(await without).toMatchObject({ status: 'failed', message: expect.stringContaining('SIGKILL') });
    const beside = manager.apply(desired(3, stuck));
    await world.clock.advance(60_000);
    expect(await beside).toMatchObject({ status: 'failed' });
    expect(world.machine.alive('api')).toHaveLength(1);
    for (const process of world.machine.alive('api')) world.machine.end(process, {});
    const again = manager.apply(desired(3, stuck));
    await world.clock.advance(1_000);
    expect(await again).toMatchObject({ status: 'applied' });
    expect(world.machine.alive('api')).toHaveLength(1);
    expect(manager.reports()).toMatchObject([{ name: 'api', state: 'running' }]);
  });

  test('crashed at every moment, there is never a second copy and never an orphan', async () => {
    const world = new ServiceWorld();
    for (let crash = 0; crash < 60; crash += 1) {
      const manager = world.manager();
      await manager.adopt();
      void manager.apply(desired(crash, service('api'), service('db', { version: String(crash % 3) })));
      await world.clock.advance(crash * 7);
      manager.detach();
      for (const name of ['api', 'db']) expect(world.machine.alive(name).length).toBeLessThanOrEqual(1);
    }
    const manager = world.manager();
    await apply(world, manager, service('api'));
    expect(world.machine.alive('api').length).toBe(1);
    expect(world.machine.alive('db')).toEqual([]);
    expect(world.done().filter((line) => line === 'start api 1').length).toBe(1);
  });
});

describe('stop', () => {
  test('ends all in reverse order of start, with SIGKILL after the grace', async () => {
    const world = new ServiceWorld();
    const manager = world.manager();
    await apply(world, manager, service('a'), service('b', { command: ['ignore-sigterm'], stop_grace_seconds: 3 }), service('c'));
    world.done();
    const stopped = manager.stop();
    await world.clock.advance(2_900);
    expect(world.done()).toEqual(['SIGTERM c 1', 'SIGTERM b 1']);
    expect(manager.reports().map(({ state }) => state)).toEqual(['running', 'stopping', 'stopped']);
    await world.clock.advance(200);
    await stopped;
    expect(world.done()).toEqual(['SIGKILL b 1', 'SIGTERM a 1']);
  });

  test('before the first apply ends what an earlier run left', async () => {
    const world = await crashed(service('api'));
    const manager = world.manager();
    await manager.adopt();
    await manager.stop();
    expect(world.machine.alive('api')).toEqual([]);
  });

  test('ends an apply under way, and none starts anything afterwards', async () => {
    const world = new ServiceWorld();
    world.ill.set('a', 'HTTP 503');
    const manager = world.manager();
    const applied = manager.apply(desired(1, service('a'), service('b')));
    await world.clock.advance(500);
    const stopped = manager.stop();
    await world.clock.advance(500);
    await stopped;
    expect(await applied).toMatchObject({ status: 'pending' });
    expect(await manager.apply(desired(2, service('b')))).toMatchObject({ status: 'skipped' });
    expect(world.done()).toEqual(['start a 1', 'SIGTERM a 1']);
    await world.clock.advance(600_000);
    expect(world.clock.sleeping).toBe(0);
  });

  test('ends the wait between two restarts', async () => {
    const world = new ServiceWorld();
    const manager = world.manager();
    await apply(world, manager, service('a'));
    world.machine.crash('a');
    await world.clock.advance(1);
    await manager.stop();
    await world.clock.advance(60_000);
    expect(world.done()).toEqual(['start a 1']);
  });
});

describe('detach', () => {
  test('leaves everything running and supervises no more', async () => {
    const world = new ServiceWorld();
    const manager = world.manager();
    await apply(world, manager, service('a'));
    manager.detach();
    world.machine.crash('a');
    await world.clock.advance(600_000);
    expect(world.done()).toEqual(['start a 1']);
  });
});

describe('diff', () => {
  test('shows what an apply would do and does nothing', async () => {
    const world = new ServiceWorld();
    const manager = world.manager();
    await apply(world, manager, service('a'), service('b'));
    world.done();
    const diff = await manager.diff(desired(2, service('a', { version: '2' }), service('c')));
    expect(diff).toEqual({
      component: 'services',
      backend: 'processes',
      actions: [
        { kind: 'stop-service', safety: 'update', subject: 'service b', before: '1' },
        { kind: 'restart-service', safety: 'update', subject: 'service a', before: '1', after: '2' },
        { kind: 'start-service', safety: 'add', subject: 'service c', after: '1' },
      ],
    });
    expect(world.done()).toEqual([]);
  });
});

async function specOf(one: ReturnType<typeof service>) {
  return { name: one.name, version: one.version, spec_hash: await serviceSpecHash(one), command: one.command, env: {} };
}

/** A machine on which a node that crashed left these running. */
async function crashed(...services: ReturnType<typeof service>[]): Promise<ServiceWorld> {
  const world = new ServiceWorld();
  const host = fakeProcessHost(world.machine);
  for (const one of services) await host.start(await specOf(one));
  world.done();
  return world;
}

async function apply(world: ServiceWorld, manager: ReturnType<ServiceWorld['manager']>, ...services: ReturnType<typeof service>[]) {
  const applied = manager.apply(desired(1, ...services));
  await world.clock.advance(1_000);
  expect(await applied).toMatchObject({ status: 'applied' });
}
