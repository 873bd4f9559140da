import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient, type Fetch } from '../../../shared/client.ts';
import { type SignedDocument, signDocument } from '../../../shared/contract/document.ts';
import { CLOUD, Fleet, type FleetMachine } from './fleet.ts';
import { type Boot, FLEET_KEY, keys, Machine, planOf, profileOf, strangers } from './harness.ts';

const plan = (...names: string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['sleep', '1'] })) });

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => fleet.close());

type Store = Pick<FleetMachine, 'client'>;
const cloud: Store = {
  get client() {
    return createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });
  },
};

/** Nodes of a site with a cloud in reach, which has published a plan. */
async function site(count: number): Promise<FleetMachine[]> {
  fleet.cloud.reachable = true;
  const machines = Array.from({ length: count }, (_, index) =>
    fleet.machine(String.fromCharCode(97 + index), { cloud_url: CLOUD }, { documents_url: CLOUD }),
  );
  for (const machine of machines) await machine.boot();
  await publish('base');
  await fleet.until(() => machines.every((one) => one.running?.services.running.join() === 'base'), 60_000, 250);
  return machines;
}

const leaderOf = (machines: readonly FleetMachine[]) => {
  const leader = machines.find(({ running, state }) => running !== undefined && state.leads);
  if (leader === undefined) throw new Error(`nobody leads: ${fleet.standing()}`);
  return leader;
};
const generationOf = async ({ client }: Store) => Number((await client.document('plan')).body?.generation ?? 0);
const publish = async (...names: string[]) => {
  const if_match = await generationOf(cloud).catch(() => 0);
  return (await cloud.client.publish('plan', plan(...names), { if_match })).body;
};
const breakGlass = async (leader: FleetMachine, ...names: string[]) => {
  const if_match = await generationOf(leader);
  return (await leader.client.publish('plan', plan(...names), { if_match, break_glass: true })).body;
};
const running = ({ running }: FleetMachine) => running?.services.running.join(' ') ?? 'down';
const allRun = (machines: readonly FleetMachine[], names: string) => () => machines.every((one) => running(one) === names);
const applied = ({ trace }: FleetMachine) => trace.filter((line) => line.startsWith('apply '));
const numbers = (machine: FleetMachine) => machine.state.emergencies?.map(({ kind, base_generation, n }) => [kind, base_generation, n]);

/** The cloud is gone until it is set back. */
async function cutOff(machines: readonly FleetMachine[]): Promise<FleetMachine> {
  fleet.cloud.reachable = false;
  await fleet.elapse(60_000);
  return leaderOf(machines);
}

describe('an emergency version', () => {
  it('is followed by every node of the site within a moment, and by its number it is known for one', async () => {
    const machines = await site(3);
    const leader = await cutOff(machines);
    expect(leader.state.provisional).toBe(true);
    await breakGlass(leader, 'base', 'rescue');
    await fleet.until(allRun(machines, 'base rescue'), 1000);
    for (const machine of machines) {
      expect(applied(machine)).toEqual(['apply 1: base', 'apply 1: base, rescue']);
      expect(machine.state.generations).toEqual({ plan: 1 });
      expect(numbers(machine)).toEqual([['plan', 1, 1]]);
    }
  });

  it('goes on when the cloud is back, is shown there, and ends with what the cloud publishes next', async () => {
    const machines = await site(3);
    await breakGlass(await cutOff(machines), 'rescue');
    await fleet.until(allRun(machines, 'rescue'), 1000);
    fleet.cloud.reachable = true;
    await fleet.until(() => leaderOf(machines).state.confirmed, 120_000, 250);
    await fleet.elapse(30_000);
    expect(allRun(machines, 'rescue')()).toBe(true);
    expect(await generationOf(cloud)).toBe(1);
    const { versions, emergencies } = (await cloud.client.history('plan')).body;
    expect(versions).toMatchObject([{ generation: 1, current: true, conflict: false }]);
    expect(emergencies).toMatchObject([{ generation: 1, emergency: { site: 'default', base_generation: 1, n: 1 }, holds: true }]);
    expect((await cloud.client.state()).body).toMatchObject({
      conflicts: { plan: 0, profile: 0 },
      emergencies: [{ kind: 'plan', site: 'default', n: 1 }],
    });
    const told = (await cloud.client.events()).body.events.filter(({ data }) => 'emergency' in data);
    expect(told).toMatchObject([{ type: 'overlay.plan', site: 'default', data: { emergency: { n: 1 } } }]);
    await publish('agreed');
    await fleet.until(allRun(machines, 'agreed'), 20_000, 250);
    for (const machine of machines) {
      expect(applied(machine)).toEqual(['apply 1: base', 'apply 1: rescue', 'apply 2: agreed']);
      expect(numbers(machine)).toBeUndefined();
      expect(machine.state.waiting_for).toEqual([]);
      expect((await machine.client.history('plan')).body.versions.some(({ conflict }) => conflict)).toBe(false);
    }
    expect((await cloud.client.state()).body.emergencies).toBeUndefined();
    expect((await cloud.client.history('plan')).body.emergencies).toMatchObject([{ holds: false }]);
  });

  it('is replaced by the next one, whose number is higher', async () => {
    const machines = await site(2);
    const leader = await cutOff(machines);
    await breakGlass(leader, 'first');
    await fleet.until(allRun(machines, 'first'), 1000);
    await breakGlass(leader, 'second');
    await fleet.until(allRun(machines, 'second'), 1000);
    // Back to what the cloud has: by another one, since only the cloud ends it.
    await breakGlass(leader, 'base');
    await fleet.until(allRun(machines, 'base'), 1000);
    expect(machines.map(numbers)).toEqual([[['plan', 1, 3]], [['plan', 1, 3]]]);
  });

  it('survives its leader: the next one has it, also where only another node held it', async () => {
    const machines = await site(3);
    const leader = await cutOff(machines);
    await breakGlass(leader, 'rescue');
    await fleet.until(allRun(machines, 'rescue'), 1000);
    const others = machines.filter((one) => one !== leader);
    leader.kill();
    await fleet.elapse(60_000);
    const next = leaderOf(others);
    expect((await next.client.document('plan')).body).toMatchObject({ emergency: { n: 1 } });
    expect(allRun(others, 'rescue')()).toBe(true);
    expect((await breakGlass(next, 'rescue', 'more')).emergency).toMatchObject({ n: 2 });
    await fleet.until(allRun(others, 'rescue more'), 1000);
    await leader.boot();
    await fleet.until(allRun(machines, 'rescue more'), 60_000, 250);
    for (const machine of machines) expect(machine.state.waiting_for.filter((what) => what.includes('was not taken'))).toEqual([]);
  });

  it('is handed to a leader that has never heard of it by a node that follows it', async () => {
    const machines = await site(3);
    const [away] = machines.filter((one) => !one.state.leads);
    if (away === undefined) throw new Error('all lead');
    const near = machines.filter((one) => one !== away);
    const leader = await cutOff(machines);
    away.kill();
    await breakGlass(leader, 'rescue');
    await fleet.until(allRun(near, 'rescue'), 1000);
    // The one that was away leads alone, then the others come back to it one by one.
    for (const one of near) one.kill();
    await away.boot();
    await fleet.until(() => away.state.leads, 120_000, 250);
    expect(running(away)).toBe('base');
    const [back] = near.filter((one) => one !== leader);
    await back?.boot();
    await fleet.until(() => running(away) === 'rescue', 120_000, 250);
    expect(numbers(away)).toEqual([['plan', 1, 1]]);
  });

  it('comes back after a power cut, with the network gone', async () => {
    const machines = await site(2);
    await breakGlass(await cutOff(machines), 'rescue');
    await fleet.until(allRun(machines, 'rescue'), 1000);
    for (const machine of machines) machine.kill();
    fleet.partition = () => true;
    for (const machine of machines) await machine.boot();
    await fleet.until(allRun(machines, 'rescue'), 10_000, 250);
    expect(machines.map(numbers)).toEqual([[['plan', 1, 1]], [['plan', 1, 1]]]);
  });

  it('holds for its own site: another one under the same cloud goes on with what the fleet has', async () => {
    fleet.cloud.reachable = true;
    const shop = fleet.machine('a', { cloud_url: CLOUD, site: 'shop' }, { documents_url: CLOUD });
    const lab = fleet.machine('b', { cloud_url: CLOUD, site: 'lab' }, { documents_url: CLOUD });
    for (const machine of [shop, lab]) await machine.boot();
    await publish('base');
    await fleet.until(allRun([shop, lab], 'base'), 60_000, 250);
    await breakGlass(shop, 'rescue');
    await fleet.elapse(120_000);
    expect([running(shop), running(lab)]).toEqual(['rescue', 'base']);
    expect((await cloud.client.history('plan')).body.emergencies).toMatchObject([{ emergency: { site: 'shop' }, holds: true }]);
    expect((await lab.client.history('plan')).body.emergencies).toBeUndefined();
  });

  it('keeps prune from removing anything by it', async () => {
    const machines = await site(1);
    const leader = leaderOf(machines);
    await leader.client.publish('profile', { storage: { buckets: [{ name: 'rescue' }] } }, { if_match: 0, break_glass: true });
    await fleet.elapse(5_000);
    expect(leader.discovery.intent.doubts()).toEqual([expect.stringContaining('emergency version')]);
  });
});

describe('what is published at the cloud', () => {
  it('is followed by the whole site at once when a node has heard of it, not only with the next call of its leader', async () => {
    const machines = await site(3);
    await fleet.elapse(60_000);
    const [follower] = machines.filter((one) => !one.state.leads);
    const done = await publish('next');
    follower?.discovery.poke({ plan: done.generation });
    await fleet.until(allRun(machines, 'next'), 2_000);
  });

  it('of which a node tells that is not there costs the cloud one question, and nothing else', async () => {
    const machines = await site(2);
    await fleet.elapse(60_000);
    const [follower] = machines.filter((one) => !one.state.leads);
    const asked: string[] = [];
    fleet.onRequest = (_from, to, { url, method }) => {
      if (to === CLOUD && url.includes('/history')) asked.push(`${method} ${new URL(url).pathname}`);
    };
    for (let n = 0; n < 20; n += 1) {
      follower?.discovery.poke({ plan: 999 });
      await fleet.elapse(200);
    }
    expect(asked.length).toBeLessThanOrEqual(4);
    expect(machines.map(running)).toEqual(['base', 'base']);
  });

  it.each<[string, (wire: Record<string, unknown>) => Record<string, unknown>, string]>([
    ['a bad signature', (wire) => ({ ...wire, signature: 'A'.repeat(86) }), 'its signature does not verify'],
    ['no signature', ({ signature: _none, ...wire }) => wire, 'it is not signed'],
    ['another body than was signed', (wire) => ({ ...wire, services: [] }), 'its hash does not match'],
  ])('and comes with %s is not taken: nothing stops, one event, and the next good one is followed', async (_, spoil, why) => {
    const machines = await site(2);
    const { supervisor } = fleet.cloud;
    const spoilt: Fetch = async (request) => {
      const response = await supervisor.fetch(request);
      if (!/\/v1\/cluster\/plan(\/history\/2)?$/.test(new URL(request.url).pathname) || request.method !== 'GET' || !response.ok)
        return response;
      return Response.json(spoil(await response.json()), { headers: response.headers });
    };
    fleet.cloud.supervisor = { ...supervisor, fetch: spoilt };
    const done = await supervisor.fetch(
      new Request(`${CLOUD}/v1/cluster/plan`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json', 'if-match': '"1"' },
        body: JSON.stringify(plan('next')),
      }),
    );
    expect(done.status).toBe(200);
    await fleet.elapse(300_000);
    for (const machine of machines) expect([running(machine), applied(machine)]).toEqual(['base', ['apply 1: base']]);
    const leader = leaderOf(machines);
    expect(leader.state.waiting_for).toEqual([expect.stringContaining(why)]);
    const events = (await leader.client.events()).body.events.filter(({ data }) => data.action === 'refuse-plan');
    expect(events).toMatchObject([{ type: 'overlay.bootstrap', data: { status: 'skipped', message: expect.stringContaining(CLOUD) } }]);
    fleet.cloud.supervisor = supervisor;
    await publish('good');
    await fleet.until(allRun(machines, 'good'), 120_000, 250);
    expect(leader.state.waiting_for).toEqual([]);
  });

  it('is mirrored down without a body while nothing has changed', async () => {
    const machines = await site(2);
    await fleet.elapse(60_000);
    const answers: { readonly what: string; readonly status: number; readonly bytes: number }[] = [];
    const { supervisor } = fleet.cloud;
    const watched: Fetch = async (request) => {
      const response = await supervisor.fetch(request);
      const bytes = (await response.clone().arrayBuffer()).byteLength;
      answers.push({ what: `${request.method} ${new URL(request.url).pathname}`, status: response.status, bytes });
      return response;
    };
    fleet.cloud.supervisor = { ...supervisor, fetch: watched };
    await fleet.elapse(600_000);
    const documents = answers.filter(({ what }) => /cluster\/plan|bootstrap\/profile/.test(what));
    expect(new Set(documents.map(({ what }) => what))).toEqual(
      new Set(['GET /v1/cluster/plan/history', 'GET /v1/bootstrap/profile/history']),
    );
    expect(documents.every(({ status, bytes }) => status === 304 && bytes === 0)).toBe(true);
    answers.length = 0;
    // Nor after a restart: both sides hold the same versions, and so have the same tag.
    leaderOf(machines).kill();
    await fleet.elapse(120_000);
    expect(answers.filter(({ what, bytes }) => what.startsWith('GET /v1/cluster/plan') && bytes > 0)).toEqual([]);
  });
});

describe('an emergency version that a node must not follow', () => {
  let machine: Machine;
  let boot: Boot;
  let base: SignedDocument;
  // The environment is looked at from time to time, whatever is published.
  const services = () => machine.trace.filter((line) => !line.startsWith('environment'));
  const refusals = () => machine.own.events.filter(({ action }) => action === 'refuse-plan');
  const emergencyOn = async (generation: number, n: number, more: { parent?: string; site?: string; signer?: typeof keys } = {}) => {
    const { body } = await planOf(['rescue']);
    const { parent = base.meta.hash, site: of = 'default', signer = keys } = more;
    return signDocument(signer.documents, {
      ...{ kind: 'plan', fleet: 'default', body },
      meta: {
        ...{ generation, parent, published_by: 'operator', published_at: base.meta.published_at, epoch: 1 },
        emergency: { site: of, base_generation: generation, n },
      },
    });
  };
  /** Else it takes back what the node holds, and nothing is left to refuse. */
  const keepToYourself = () => {
    machine.own.before = ({ path }) => (/history|versions/.test(path) ? new Response(null, { status: 500 }) : undefined);
  };
  beforeEach(async () => {
    machine = new Machine();
    base = await planOf(['api'], { generation: 5 });
    machine.own.publish(base);
    machine.own.publish(await profileOf(['captures'], { generation: 1 }));
    boot = await machine.boot();
    await machine.elapse(10_000);
    expect(machine.trace).toContain('apply 5: api');
    machine.trace.length = 0;
  });

  it.each<[string, () => Promise<SignedDocument>, string]>([
    ['of another site', () => emergencyOn(5, 1, { site: 'shop' }), 'of the site shop'],
    ['on another version of that generation', () => emergencyOn(5, 1, { parent: 'b'.repeat(64) }), 'was not published on'],
    ['on an older generation', () => emergencyOn(4, 7), 'is older than generation 5'],
    ['signed with the key of another fleet', () => emergencyOn(5, 1, { signer: strangers }), 'another fleet key'],
    [
      'with a number that was not signed',
      async () => {
        const good = await emergencyOn(5, 1);
        return { ...good, meta: { ...good.meta, emergency: { site: 'default', base_generation: 5, n: 2 } } };
      },
      'signature',
    ],
    [
      'of another site that was made this one',
      async () => {
        const other = await emergencyOn(5, 1, { site: 'shop' });
        return { ...other, meta: { ...other.meta, emergency: { site: 'default', base_generation: 5, n: 1 } } };
      },
      'signature',
    ],
  ])('%s changes nothing and stops nothing: one event says why', async (_, make, why) => {
    keepToYourself();
    machine.own.publish(await make());
    await machine.elapse(180_000);
    expect(services()).toEqual([]);
    expect(boot.services.running).toEqual(['api']);
    expect(refusals()).toMatchObject([{ status: 'skipped', message: expect.stringContaining(why) }]);
    expect(boot.discovery.state()).toMatchObject({ generations: { plan: 5 } });
    machine.own.publish(base);
    await machine.elapse(60_000);
    expect(boot.discovery.state().waiting_for).toEqual([]);
  });

  it('one that is over and comes again', async () => {
    const over = await emergencyOn(5, 1);
    machine.own.publish(over);
    await machine.elapse(10_000);
    const next = await planOf(['web'], { generation: 6, parent: base.meta.hash });
    machine.own.publish(next);
    await machine.elapse(60_000);
    expect(services()).toEqual(['apply 5: rescue', 'apply 6: web']);
    keepToYourself();
    machine.own.publish(over);
    await machine.elapse(180_000);
    expect(services()).toEqual(['apply 5: rescue', 'apply 6: web']);
    expect(refusals()).toMatchObject([{ message: expect.stringContaining('is older than generation 6') }]);
  });

  it('its base, served again while it holds', async () => {
    machine.own.publish(await emergencyOn(5, 1));
    await machine.elapse(10_000);
    keepToYourself();
    machine.own.publish(base);
    await machine.elapse(180_000);
    expect(services()).toEqual(['apply 5: rescue']);
    expect(refusals()).toMatchObject([{ message: expect.stringContaining('is older than emergency version 1 on generation 5') }]);
  });
});
