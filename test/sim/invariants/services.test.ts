import { beforeAll, describe, expect, it } from 'vitest';
import { Operator } from '../operator.ts';
import { installPlatform } from '../platform.ts';
import { Published } from '../published.ts';
import { randomOf } from '../random.ts';
import { World } from '../world.ts';
import { servicesInvariants } from './services.ts';

beforeAll(installPlatform);

const TTL_SECONDS = 5;

/** A calm site of three, two of which run the service `counted`, and what its judge said. */
async function calmSite() {
  const world = await World.create({ seed: 1, nodes: 3, cloud: false, ttl_seconds: TTL_SECONDS });
  const published = new Published();
  const broken: string[] = [];
  const counts: string[] = [];
  const invariant = servicesInvariants(published)({
    world,
    broken: (name) => broken.push(name),
    count: (what) => counts.push(what),
  });
  world.watchers.push(invariant);
  for (const machine of world.machines) machine.boot();
  await world.run(5000);
  const [first] = world.machines;
  if (first !== undefined) void new Operator(world, published, randomOf(1, 'operator')).publish(first, 'plan');
  // So long that no start is remembered any more, only that the copies still run.
  await world.run(8 * TTL_SECONDS * 1000);
  const runs = ({ services }: World['machines'][number]) => services.alive('counted').length > 0;
  const holders = world.machines.filter(runs);
  const [other] = world.machines.filter((machine) => !runs(machine));
  if (other === undefined) throw new Error('all run it');
  const stop = () => invariant.onService?.(other, { kind: 'signal', name: 'counted', version: '1', spec_hash: '' });
  return { world, published, invariant, holders, stop, broken, counts };
}

describe('why a service stops', () => {
  it('copies on machines that have just gone explain a stop, for five TTLs', async () => {
    const { world, holders, stop, broken, counts } = await calmSite();
    expect(holders).toHaveLength(2);
    for (const machine of holders) machine.powerOff();
    stop();
    expect(broken).toEqual([]);
    expect(counts).toContain('stop: surplus above count');
    await world.run(5 * TTL_SECONDS * 1000 + 1000);
    stop();
    expect(broken).toEqual(['no healthy service stopped']);
    world.close();
  });
});

/** A node that runs `counted` and has just got a plan without it; `start` starts it again. */
async function dropped() {
  const { world, published, invariant, holders, broken } = await calmSite();
  const [machine] = holders;
  const [spec] = published.services().filter(({ name }) => name === 'counted');
  if (machine === undefined || spec === undefined) throw new Error('nobody runs it');
  const { version } = spec;
  machine.disk.texts.set('plan.json', JSON.stringify({ document: { services: [] } }));
  return {
    world,
    broken,
    start: () => invariant.onService?.(machine, { kind: 'start', spec: { ...spec, spec_hash: '', env: {} } }),
    stop: () => invariant.onService?.(machine, { kind: 'signal', name: 'counted', version, spec_hash: '' }),
  };
}

describe('what starts', () => {
  it('a service that died before its turn starts anew as it was, but not once its node has stopped it', async () => {
    const { world, broken, start, stop } = await dropped();
    start();
    expect(broken).toEqual([]);
    stop();
    start();
    expect(broken).toEqual(['only what was signed runs']);
    world.close();
  });

  it('a service that the plan has dropped and the node never stops starts anew for three TTLs, and then no more', async () => {
    const { world, broken, start } = await dropped();
    start();
    for (const passed_ms of [1000, 3 * TTL_SECONDS * 1000 - 2000]) {
      await world.run(passed_ms);
      start();
      expect(broken).toEqual([]);
    }
    await world.run(2000);
    start();
    expect(broken).toEqual(['only what was signed runs']);
    world.close();
  });
});
