import { afterEach, describe, expect, it } from 'vitest';
import { type Boot, CLOUD, Machine, SELF } from './harness.ts';
import { json } from './scripted-supervisor.ts';

let boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots) boot.crash();
  boots = [];
});

async function boot(machine: Machine): Promise<Boot> {
  const booted = await machine.boot({ cloud_url: CLOUD });
  boots.push(booted);
  return booted;
}

const lease = { expires_at: '2026-01-01T00:00:00.000Z', expires_in_ms: 15_000 };

describe('a claim at the cloud', () => {
  it('that is granted while the node stops is given back', async () => {
    const machine = new Machine();
    let answer = () => {};
    machine.cloud.before = async ({ path }) => {
      if (path.startsWith('/v1/leader/claim')) await new Promise<void>((resolve) => (answer = resolve));
      return undefined as never;
    };
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(500);
    const stopped = discovery.stop();
    await machine.elapse(250);
    answer();
    await machine.elapse(8_000);
    await stopped;
    expect(machine.cloud.leader).toMatchObject({ node_id, epoch: 1, until: 0 });
    expect(machine.own.made('/v1/leader/claim')).toEqual([]);
  });
});

describe('a renewal', () => {
  it('that is overtaken by this node itself, which takes a higher epoch, costs no lease', async () => {
    const machine = new Machine();
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(1_000);
    const lost = { granted: false, leader_url: SELF, node_id, epoch: 2, ...lease };
    let overtaken = 0;
    for (const supervisor of [machine.own, machine.cloud]) {
      supervisor.before = ({ path, body }) => {
        if (!/claim|uplink/.test(path) || body.epoch === undefined) return undefined;
        overtaken += 1;
        supervisor.before = undefined;
        return json(lost);
      };
    }
    await machine.elapse(10_000);
    expect(overtaken).toBe(2);
    expect(discovery.state()).toMatchObject({ leads: true, confirmed: true, epoch: 1 });
    expect([...machine.logged('steps down'), ...machine.logged('another node leads now')]).toEqual([]);
  });

  it('that brings a new epoch at the cloud brings both leases to one epoch, also where the own Supervisor has seen a higher one', async () => {
    const machine = new Machine();
    const { discovery, node_id } = await boot(machine);
    await machine.elapse(1_000);
    if (machine.cloud.leader) machine.cloud.leader.until = 0;
    if (machine.own.leader) machine.own.leader.epoch = 7;
    await machine.elapse(9_000);
    expect(discovery.state()).toMatchObject({ leads: true, confirmed: true, epoch: 8 });
    for (const { leader } of [machine.cloud, machine.own]) expect(leader).toMatchObject({ node_id, epoch: 8 });
  });
});

describe('a leader that has lost the lease of the cloud', () => {
  it('leads no more while it looks for another', async () => {
    const machine = new Machine();
    const { discovery } = await boot(machine);
    await machine.elapse(1_000);
    machine.cloud.leader = { node_id: 'other', url: 'http://192.0.2.9:7420', epoch: 9, until: 600_000 };
    machine.cloud.before = ({ path, method }) =>
      method === 'GET' && path.startsWith('/v1/leader') ? new Promise(() => undefined) : undefined;
    await machine.elapse(5_500);
    expect(machine.logged('the cloud names another leader')).toHaveLength(1);
    expect(discovery.state()).toMatchObject({ leads: false, confirmed: false, role: 'worker' });
    expect(discovery.leadership().leads).toBe(false);
  });
});
