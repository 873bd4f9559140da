import { afterEach, describe, expect, it } from 'vitest';
import { type Boot, CLOUD, Machine, planOf } from './harness.ts';
import { fail } from './scripted-supervisor.ts';

let boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots) boot.crash();
  boots = [];
});

const applies = ({ trace }: Machine) => trace.filter((line) => line.startsWith('apply'));
const asks = ({ cloud }: Machine) => cloud.calls.filter(({ path }) => path === '/v1/nodes/plan').length;

/** A node that runs `api` and `web`, whose clone has registered with the cloud, which gives `web` to another node then. */
async function displaced(): Promise<Machine & { boot: Boot }> {
  const machine = new Machine();
  const { cloud } = machine;
  cloud.publish(await planOf(['api', 'web'], { generation: 3 }));
  cloud.leader = { node_id: 'other', url: 'http://192.0.2.9:7420', epoch: 4, until: 1e9 };
  const boot = await machine.boot({ cloud_url: CLOUD, lead: false });
  boots.push(boot);
  await machine.elapse(2_000);
  expect(applies(machine)).toEqual(['apply 3: api, web']);
  const { node_id } = boot.discovery.state();
  const body = { node_id, instance_id: 'of-copy', host: 'copy', ip: '192.0.2.77', capabilities: [], versions: {} };
  await cloud.fetch(new Request(`${CLOUD}/v1/nodes/register`, { method: 'POST', body: JSON.stringify(body) }));
  cloud.names = ['api'];
  cloud.publish(await planOf(['api', 'web'], { generation: 4 }));
  cloud.calls.length = 0;
  return Object.assign(machine, { boot });
}

/** Seed 608705: a copy registered between a node's registration and its plan answer, and reported that it runs nothing. */
describe('a plan answer that goes by the reports of a clone', () => {
  it('stops nothing that runs here, and is asked for once', async () => {
    const machine = await displaced();
    machine.boot.discovery.poke();
    await machine.elapse(1_000);
    expect(applies(machine)).toEqual(['apply 3: api, web', 'apply 4: api, web']);
    expect(asks(machine)).toBe(1);
  });

  it('is over when the node is known there again: the answer to its own reports counts', async () => {
    const machine = await displaced();
    machine.boot.discovery.poke();
    await machine.elapse(1_000);
    let beats = 0;
    machine.cloud.before = ({ path }) => (path === '/v1/nodes/heartbeat' && beats++ === 0 ? fail('unknown_node') : undefined);
    await machine.elapse(10_000);
    machine.boot.discovery.poke();
    await machine.elapse(1_000);
    expect(beats).toBeGreaterThan(0);
    expect(applies(machine)).toEqual(['apply 3: api, web', 'apply 4: api, web', 'apply 4: api']);
  });
});
