import { afterEach, describe, expect, it } from 'vitest';
import { toWire } from '../../../shared/contract/document.ts';
import { type Boot, CLOUD, Machine, planOf, profileOf, published, strangers } from './harness.ts';
import { fail, json } from './scripted-supervisor.ts';

let boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots) boot.crash();
  boots = [];
});

/** A node that runs plan 3 (`api`, `web`) and profile 3 (`captures`). */
async function running(): Promise<{ machine: Machine; boot: Boot }> {
  const machine = new Machine();
  machine.own.publish(await planOf(['api', 'web'], { generation: 3 }));
  machine.own.publish(await profileOf(['captures'], { generation: 3 }));
  const boot = await machine.boot();
  boots.push(boot);
  await machine.elapse(1_000);
  machine.trace.length = 0;
  machine.own.events.length = 0;
  return { machine, boot };
}

/** The events about refused documents. */
function refusals(machine: Machine) {
  return machine.own.events.filter(({ action }) => String(action).startsWith('refuse-'));
}

const unchanged = (machine: Machine) => machine.trace.filter((line) => !line.startsWith('environment 3: captures'));

type Spoil = (machine: Machine) => Promise<void>;
const PLAN_FAULTS: Record<string, { spoil: Spoil; says: RegExp }> = {
  'signed with the key of another fleet': {
    spoil: async ({ own }) => own.publish(await planOf(['api'], { generation: 4, signer: strangers })),
    says: /signed with another fleet key than the one of this node \(was the fleet key replaced\? .*`bootplane join - --replace/,
  },
  'with a forged signature': {
    spoil: async ({ own }) => {
      const plan = await planOf(['api'], { generation: 4 });
      const other = await planOf(['web'], { generation: 4 });
      own.publish({ ...plan, meta: { ...plan.meta, signature: other.meta.signature } });
    },
    says: /signature does not verify/,
  },
  'whose body was changed after it was signed': {
    spoil: async ({ own }) => {
      const plan = await planOf(['api'], { generation: 4 });
      own.publish({ ...plan, body: { services: [] } });
    },
    says: /hash does not match/,
  },
  'of the same generation with another content': {
    spoil: async ({ own }) => own.publish(await planOf(['api'], { generation: 3 })),
    says: /generation 3 like the one that is held, but another content/,
  },
  'that is signed but not valid': {
    spoil: async ({ own }) => own.publish(await published('plan', { services: [{ name: 'api', version: '1' }] }, { generation: 4 })),
    says: /not valid at \/services\/0/,
  },
};

describe('a Cluster Plan that can not be used', () => {
  it.each(Object.entries(PLAN_FAULTS))('%s changes nothing and is told once', async (_name, { spoil, says }) => {
    const { machine, boot } = await running();
    await spoil(machine);
    await machine.elapse(90_000);
    expect(unchanged(machine)).toEqual([]);
    expect(boot.services.running).toEqual(['api', 'web']);
    expect(refusals(machine)).toMatchObject([{ component: 'services', action: 'refuse-plan', status: 'skipped' }]);
    expect(refusals(machine)[0]?.message).toMatch(says);
    expect(boot.discovery.state()).toMatchObject({ generations: { plan: 3 }, waiting_for: [expect.stringMatching(says)] });
  });

  it('with a body that is empty or no JSON changes nothing, and the node goes on', async () => {
    const { machine, boot } = await running();
    const bodies = ['', '<html>', '[]'];
    machine.own.publish(await planOf(['api'], { generation: 4 }));
    machine.own.before = ({ path }) => (path === '/v1/cluster/plan?site=default' ? new Response(bodies[0], { status: 200 }) : undefined);
    for (; bodies.length > 0; bodies.shift()) {
      boot.discovery.poke();
      await machine.elapse(1_000);
    }
    expect(unchanged(machine)).toEqual([]);
    expect(boot.discovery.state().phase).toBe('running');
    machine.own.before = undefined;
    boot.discovery.poke();
    await machine.elapse(1_000);
    expect(unchanged(machine)).toEqual(['apply 4: api']);
    expect(boot.discovery.state().waiting_for).toEqual([]);
  });

  it('is taken as soon as it is good again, and the same trouble later is told again', async () => {
    const { machine } = await running();
    machine.own.publish(await planOf(['api'], { generation: 4, signer: strangers }));
    await machine.elapse(10_000);
    machine.own.publish(await planOf(['api'], { generation: 4 }));
    await machine.elapse(70_000);
    expect(unchanged(machine)).toEqual(['apply 4: api']);
    machine.own.publish(await planOf(['web'], { generation: 5, signer: strangers }));
    await machine.elapse(10_000);
    expect(refusals(machine)).toHaveLength(2);
  });

  it('that a Supervisor can not verify itself (500 storage_corrupt) changes nothing', async () => {
    const { machine, boot } = await running();
    machine.own.publish(await planOf(['api'], { generation: 4 }));
    machine.own.before = ({ path }) =>
      path === '/v1/cluster/plan?site=default' ? fail('storage_corrupt', 'row 4 does not verify') : undefined;
    await machine.elapse(20_000);
    expect(unchanged(machine)).toEqual([]);
    expect(boot.discovery.state().waiting_for).toEqual([expect.stringContaining('row 4 does not verify')]);
  });
});

describe('a document that a node is given by the cloud itself', () => {
  it.each(Object.entries(PLAN_FAULTS))('%s changes nothing and is told once', async (_name, { spoil, says }) => {
    const machine = new Machine();
    const { cloud } = machine;
    cloud.publish(await planOf(['api', 'web'], { generation: 3 }));
    cloud.leader = { node_id: 'away', url: 'http://192.0.2.99:7420', epoch: 1, until: 1e12 };
    const boot = await machine.boot({ cloud_url: CLOUD, lead: false });
    boots.push(boot);
    await machine.elapse(20_000);
    expect(boot.discovery.state().source).toBe('cloud');
    expect(machine.trace).toEqual(['adopt', 'apply 3: api, web']);
    await spoil({ ...machine, own: cloud } as Machine);
    await machine.elapse(180_000);
    expect(machine.trace).toEqual(['adopt', 'apply 3: api, web']);
    expect(boot.services.running).toEqual(['api', 'web']);
    const told = cloud.events.filter(({ action }) => action === 'refuse-plan');
    expect(told).toMatchObject([{ status: 'skipped', message: expect.stringMatching(says) }]);
  });
});

describe('an Environment Profile that can not be used', () => {
  it('because it is forged changes nothing and is told once', async () => {
    const { machine, boot } = await running();
    machine.own.publish(await profileOf(['other'], { generation: 4, signer: strangers }));
    await machine.elapse(150_000);
    expect(unchanged(machine)).toEqual([]);
    expect(machine.trace.length).toBeGreaterThan(0);
    expect(refusals(machine)).toMatchObject([{ component: 'storage', action: 'refuse-profile', status: 'skipped' }]);
    expect(boot.discovery.state().generations.profile).toBe(3);
  });
});

describe("a node's own Supervisor", () => {
  type Lose = (own: Machine['own']) => Promise<void>;
  it.each<[string, Lose]>([
    [
      'has lost the documents',
      async (own) => {
        delete own.documents.plan;
        delete own.documents.profile;
      },
    ],
    [
      'has older ones, as from a backup',
      async (own) => {
        own.publish(await planOf(['old'], { generation: 2 }));
        own.publish(await profileOf(['old'], { generation: 2 }));
      },
    ],
    [
      'has only seeds',
      async (own) => {
        own.publish(await planOf(['seed'], { generation: 0 }));
        own.publish(await profileOf(['seed'], { generation: 0 }));
      },
    ],
  ])('that %s is given those that the node runs, and nothing is changed', async (_name, lose) => {
    const { machine, boot } = await running();
    await lose(machine.own);
    boot.discovery.poke();
    await machine.elapse(90_000);
    expect(machine.own.documents).toMatchObject({ plan: { meta: { generation: 3 } }, profile: { meta: { generation: 3 } } });
    expect(unchanged(machine)).toEqual([]);
    expect(refusals(machine)).toEqual([]);
    expect(boot.discovery.state()).toMatchObject({ generations: { plan: 3, profile: 3 }, waiting_for: [] });
  });

  it.each(['not_found', 'internal', 'storage_full'] as const)(
    'that does not take them (%s) changes nothing either, which is told once',
    async (code) => {
      const { machine, boot } = await running();
      machine.own.before = ({ path }) => (/history|versions/.test(path) ? fail(code) : undefined);
      machine.own.publish(await planOf(['old'], { generation: 2 }));
      await machine.elapse(90_000);
      expect(unchanged(machine)).toEqual([]);
      expect(refusals(machine)).toMatchObject([{ message: expect.stringMatching(/generation 2 is older than generation 3/) }]);
      expect(boot.discovery.state()).toMatchObject({ phase: 'running', generations: { plan: 3 } });
    },
  );
});

describe('what was cached by an earlier version', () => {
  it('which told lines of documents apart, is read on', async () => {
    const { machine, boot } = await running();
    boot.crash();
    for (const name of ['plan.json', 'profile.json']) {
      const kept = JSON.parse(machine.files.texts.get(name) ?? '{}');
      machine.files.texts.set(name, JSON.stringify({ ...kept, line: 'https://cloud.example' }));
    }
    machine.own.reachable = false;
    const later = await machine.boot({ lead: false });
    boots.push(later);
    await machine.elapse(2_000);
    expect(later.discovery.state()).toMatchObject({ generations: { plan: 3, profile: 3 }, source: 'cache' });
  });
});

describe('a plan answer', () => {
  it('that invents a service starts nothing of that name, runs the rest, and is told once', async () => {
    const { machine, boot } = await running();
    machine.own.names = ['api', 'miner'];
    await machine.elapse(90_000);
    boot.discovery.poke();
    await machine.elapse(1_000);
    expect(unchanged(machine)).toEqual(['apply 3: api']);
    expect(refusals(machine)).toMatchObject([
      { component: 'services', action: 'refuse-service', message: 'a Supervisor named a service that no verified plan holds: miner' },
    ]);
  });

  it('that invents a service while no plan is published starts nothing', async () => {
    const machine = new Machine();
    machine.own.names = ['miner'];
    boots.push(await machine.boot());
    await machine.elapse(2_000);
    expect(machine.trace).toEqual(['adopt']);
    expect(refusals(machine)[0]?.message).toMatch(/no verified plan holds: miner/);
  });

  it('that names a service against its signed placement does not start it here', async () => {
    const machine = new Machine();
    const placed = (name: string, placement: Record<string, unknown>) => ({ name, placement });
    machine.own.publish(
      await planOf([
        placed('here', { sites: ['default'], capabilities: ['camera'] }),
        placed('elsewhere', { sites: ['shop-2'] }),
        placed('other-node', { nodes: ['somebody'] }),
        placed('gpu', { capabilities: ['gpu'] }),
        placed('by-role', { roles: ['proxy'] }),
      ]),
    );
    boots.push(await machine.boot({ capabilities: ['camera'] }));
    await machine.elapse(1_000);
    expect(machine.trace).toEqual(['adopt', 'apply 1: here, by-role']);
    expect(refusals(machine).map(({ message }) => String(message).split(': ').at(-1))).toEqual(['elsewhere', 'other-node', 'gpu']);
  });

  it('of a generation that is not the published one changes nothing until both agree', async () => {
    const { machine } = await running();
    const next = await planOf(['api'], { generation: 4 });
    machine.own.before = ({ path }) => (path === '/v1/cluster/plan?site=default' ? json(toWire(next)) : undefined);
    await machine.elapse(70_000);
    expect(unchanged(machine)).toEqual([]);
    machine.own.publish(next);
    await machine.elapse(10_000);
    expect(unchanged(machine)).toEqual(['apply 4: api']);
  });

  it('is asked for again when a newer plan is published between the two calls', async () => {
    const { machine } = await running();
    const [fourth, fifth] = [await planOf(['api'], { generation: 4 }), await planOf(['web'], { generation: 5 })];
    machine.own.publish(fourth);
    machine.own.before = ({ path }) => {
      if (path === '/v1/cluster/plan?site=default') machine.own.publish(fifth);
      return undefined;
    };
    await machine.elapse(6_000);
    expect(unchanged(machine)).toEqual(['apply 5: web']);
    expect(refusals(machine)).toEqual([]);
  });
});

describe('what is validly published', () => {
  it('stops a service that a newer plan leaves out, and all of them for an empty plan', async () => {
    const { machine } = await running();
    machine.own.publish(await planOf(['api'], { generation: 4 }));
    await machine.elapse(6_000);
    machine.own.publish(await planOf([], { generation: 5 }));
    await machine.elapse(6_000);
    expect(unchanged(machine)).toEqual(['apply 4: api', 'apply 5: ']);
  });

  it('takes the place of the one before at once, also while the profile is slow to come', async () => {
    const { machine, boot } = await running();
    machine.own.publish(await planOf(['web'], { generation: 4 }));
    machine.own.before = ({ path }) => (path === '/v1/bootstrap/profile?site=default' ? new Promise(() => undefined) : undefined);
    boot.discovery.poke();
    await machine.elapse(1_000);
    expect(boot.discovery.state().generations.plan).toBe(4);
    expect(machine.trace).toEqual(['apply 4: web']);
  });

  it.each(['plan', 'profile'] as const)(
    'as a %s is applied when it is on the disk: a power cut leads back to nothing older',
    async (kind) => {
      const { machine, boot } = await running();
      const { files, clock, own } = machine;
      const { write } = files;
      files.write = async (name, text) => {
        if (name === `${kind}.json`) await clock.sleep(500);
        return write(name, text);
      };
      own.publish(kind === 'plan' ? await planOf(['web'], { generation: 4 }) : await profileOf(['more'], { generation: 4 }));
      boot.discovery.poke();
      await machine.elapse(400);
      expect(unchanged(machine)).toEqual([]);
      expect(boot.discovery.state().generations[kind]).toBe(3);
      await machine.elapse(400);
      expect(unchanged(machine)).toEqual([kind === 'plan' ? 'apply 4: web' : 'environment 4: more']);
      expect(boot.discovery.state().generations[kind]).toBe(4);
    },
  );

  it('is applied also where the disk is full and does not take it', async () => {
    const { machine, boot } = await running();
    machine.files.write = () => Promise.reject(new Error('ENOSPC: no space left on device'));
    machine.own.publish(await planOf(['web'], { generation: 4 }));
    boot.discovery.poke();
    await machine.elapse(1_000);
    expect(unchanged(machine)).toEqual(['apply 4: web']);
  });

  it('is fetched once: unchanged documents cost no body', async () => {
    const { machine } = await running();
    machine.own.calls.length = 0;
    await machine.elapse(120_000);
    expect(machine.own.made('/v1/cluster/plan')).toEqual([]);
    expect(machine.own.made('/v1/bootstrap/profile').length).toBeGreaterThan(0);
    expect(machine.own.sent_whole).toBe(2);
  });
});
