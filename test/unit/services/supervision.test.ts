import { describe, expect, test } from 'vitest';
import { MIN_RETRY_MS } from '../../../shared/reconcile/services/restarts.ts';
import { fakeProcessHost } from '../../support/fake-process-host.ts';
import { desired, ServiceWorld, service } from './harness.ts';

type Changes = Record<string, unknown>;

describe('a service that ends', () => {
  test('is restarted after a backoff, counted, and told as failed and healthy again', async () => {
    const { world, manager } = await running({ health: undefined });
    world.machine.crash('api', { code: 9 });
    await world.clock.advance(1);
    expect(manager.reports()).toEqual([{ name: 'api', version: '1', state: 'backoff', health: 'exited with code 9', restarts: 0 }]);
    expect(manager.status()).toMatchObject({ status: 'failed', message: 'api is waiting for its restart: exited with code 9' });
    expect(world.done()).toEqual([]);
    await world.clock.advance(2_000);
    expect(world.done()).toEqual(['start api 1']);
    expect(manager.reports()).toEqual([{ name: 'api', version: '1', state: 'running', restarts: 1 }]);
    expect(manager.status()).toMatchObject({ status: 'applied' });
    expect(world.events.map(({ action, status, message, attempt }) => [action, status, message, attempt])).toEqual([
      ['reconcile', 'failed', 'api is waiting for its restart: exited with code 9', 2],
      ['reconcile', 'applied', 'api is healthy again', 3],
    ]);
  });

  test('by a signal is described as that', async () => {
    const { world, manager } = await running();
    world.machine.crash('api', { signal: 'SIGSEGV' });
    await world.clock.advance(1);
    expect(manager.reports()[0]?.health).toBe('ended by SIGSEGV');
  });

  test('leaves no child behind: its group is killed before the next start', async () => {
    const { world } = await running({ command: ['with-child'] });
    world.machine.crash('api');
    await world.clock.advance(3_000);
    expect(world.done()).toEqual(['SIGKILL api 1', 'start api 1']);
    expect(world.machine.processes.filter(({ child }) => child)).toEqual([]);
  });

  test('again and again is given up at the limit, shown, and tried again after a long pause', async () => {
    const { world, manager } = await running({
      command: ['exit', '2', '300'],
      health: undefined,
      restart: { max: 3, window_seconds: 300 },
    });
    await world.clock.advance(60_000);
    expect(world.done().length).toBe(3);
    expect(manager.reports()).toEqual([
      { name: 'api', version: '1', state: 'failed', health: 'exited with code 2 (gave up after 3 restarts within 300 s)', restarts: 3 },
    ]);
    expect(manager.status()).toMatchObject({ status: 'failed' });
    await world.clock.advance(MIN_RETRY_MS - 61_000);
    expect(world.done()).toEqual([]);
    await world.clock.advance(20_000);
    expect(world.done()[0]).toBe('start api 1');
  });

  test('after it was given up is tried at once when the document changes, and not before', async () => {
    const { world, manager } = await running({ command: ['exit', '2', '300'], health: undefined, restart: { max: 1 } });
    await world.clock.advance(30_000);
    world.done();
    const body = [...current];
    const same = manager.apply(desired(1, ...body));
    await world.clock.advance(5_000);
    expect(await same).toMatchObject({ status: 'failed', message: expect.stringContaining('gave up') });
    expect(world.done()).toEqual([]);
    const next = manager.apply(desired(2, ...body));
    await world.clock.advance(5_000);
    await next;
    expect(world.done()[0]).toBe('start api 1');
  });

  test('is not restarted at all with max 0', async () => {
    const { world, manager } = await running({ restart: { max: 0 } });
    world.machine.crash('api');
    await world.clock.advance(60_000);
    expect(world.done()).toEqual([]);
    expect(manager.reports()[0]?.state).toBe('failed');
  });

  test('seldom enough is restarted for ever', async () => {
    const { world, manager } = await running({ restart: { max: 2, window_seconds: 60 } });
    for (let day = 0; day < 6; day += 1) {
      world.machine.crash('api');
      await world.clock.advance(100_000);
    }
    expect(manager.reports()[0]).toMatchObject({ state: 'running', restarts: 6 });
  });

  test('touches no other service', async () => {
    const { world, manager } = await running({}, service('db'));
    world.machine.crash('api');
    await world.clock.advance(30_000);
    expect(world.done()).toEqual(['start api 1']);
    expect(manager.reports().map(({ name, restarts }) => `${name} ${restarts}`)).toEqual(['api 1', 'db 0']);
  });
});

describe('a host that fails for a moment', () => {
  test('a list that fails while a service is cleared away is asked again', async () => {
    const { world, manager } = await running();
    world.machine.crash('api');
    world.machine.list_error = new Error('no more file handles');
    await world.clock.advance(3_000);
    expect(world.done()).toEqual(['start api 1']);
    expect(manager.reports()[0]).toMatchObject({ state: 'running', restarts: 1 });
  });

  test("what can't be watched is shown, and is ended before it is started again", async () => {
    const world = new ServiceWorld();
    const host = fakeProcessHost(world.machine);
    let blind = true;
    const manager = world.manager({
      host: { ...host, exited: (ref) => (blind ? Promise.reject(new Error('blind')) : host.exited(ref)) },
    });
    const applied = manager.apply(desired(1, service('api')));
    await world.clock.advance(11_000);
    expect(await applied).toMatchObject({ status: 'failed', message: expect.stringContaining('blind') });
    blind = false;
    await world.clock.advance(60_000);
    expect(world.machine.alive('api').length).toBe(1);
    expect(world.machine.doubles).toEqual([]);
    expect(manager.reports()[0]).toMatchObject({ state: 'running' });
  });
});

describe('a program that is not there', () => {
  test('fails at once, without a loop, and says so', async () => {
    const world = new ServiceWorld();
    const manager = world.manager();
    const applied = manager.apply(desired(1, service('api', { command: ['missing'] }), service('db')));
    await world.clock.advance(1_000);
    expect(await applied).toMatchObject({ status: 'failed', message: expect.stringContaining('not there') });
    expect(manager.reports().map(({ name, state }) => `${name} ${state}`)).toEqual(['api failed', 'db running']);
    expect(manager.reports()[0]?.restarts).toBe(0);
  });
});

describe('a service that becomes unhealthy', () => {
  test('is shown at once, and well again without a restart when the next check is good', async () => {
    const { world, manager } = await running();
    world.ill.set('api', 'HTTP 500');
    await world.clock.advance(5_000);
    expect(manager.reports()[0]).toMatchObject({ state: 'unhealthy', health: 'HTTP 500' });
    world.ill.clear();
    await world.clock.advance(5_000);
    expect(manager.reports()[0]).toMatchObject({ state: 'running', health: 'HTTP 200', restarts: 0 });
    expect(world.done()).toEqual([]);
  });

  test('is restarted after three failures in a row', async () => {
    const { world, manager } = await running();
    world.ill.set('api', 'HTTP 500');
    await world.clock.advance(14_000);
    expect(world.done()).toEqual([]);
    await world.clock.advance(3_000);
    expect(world.done()).toEqual(['SIGTERM api 1', 'start api 1']);
    world.ill.clear();
    await world.clock.advance(1_000);
    expect(manager.reports()[0]).toMatchObject({ state: 'running', restarts: 1 });
  });

  test('counts failures only after the grace, anew for each process', async () => {
    const world = new ServiceWorld();
    world.ill.set('api', 'starting up');
    const manager = world.manager();
    const health = { http: 'http://127.0.0.1:1/', grace_seconds: 60, interval_seconds: 1 };
    const applied = manager.apply(desired(1, service('api', { health })));
    await world.clock.advance(59_000);
    expect(world.done()).toEqual(['start api 1']);
    expect(manager.reports()[0]?.state).toBe('starting');
    await world.clock.advance(4_000);
    expect(await applied).toMatchObject({ status: 'failed' });
    expect(world.done()[0]).toBe('SIGTERM api 1');
  });

  test('that does not end after SIGKILL has no second copy beside it', async () => {
    const { world, manager } = await running({ command: ['stuck'] });
    world.ill.set('api', 'HTTP 500');
    await world.clock.advance(120_000);
    expect(world.machine.processes.length).toBe(1);
    expect(manager.reports()[0]).toMatchObject({ state: 'failed', health: expect.stringContaining('SIGKILL') });
  });
});

let current: ReturnType<typeof service>[] = [];

async function running(changes: Changes = {}, ...others: ReturnType<typeof service>[]) {
  const world = new ServiceWorld();
  const manager = world.manager();
  current = [service('api', changes), ...others];
  const applied = manager.apply(desired(1, ...current));
  await world.clock.advance(270);
  expect(await applied).toMatchObject({ status: 'applied' });
  world.done();
  world.events.splice(0);
  return { world, manager };
}
