import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../../shared/client.ts';
import { CLOUD, Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { FLEET_KEY } from './harness.ts';

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => fleet.close());

const cloud = () => createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });

/** A node that no packet reaches holds the lease of the cloud. */
async function claimAtCloud(node_id: string): Promise<void> {
  await cloud().register({ node_id, host: node_id, ip: '192.0.2.99', capabilities: [], versions: {} });
  const { body } = await cloud().claim({ node_id, url: 'http://192.0.2.99:7420' }, 'default');
  expect(body).toMatchObject({ granted: true, node_id });
}

/** Whom it follows, as `epoch/node_id`, at each tenth of a second of this time. */
async function followedBy({ discovery }: FleetMachine, ms: number): Promise<string[]> {
  const followed: string[] = [];
  for (let passed = 0; passed < ms; passed += 100) {
    await fleet.elapse(100);
    const { epoch, leader_node_id } = discovery.state();
    followed.push(`${epoch}/${leader_node_id}`);
  }
  return [...new Set(followed)];
}

/** What comes to this machine goes through `pass` first. */
function intercept({ address, running }: FleetMachine, pass: (request: Request, answer: () => Promise<Response>) => Promise<Response>) {
  if (running === undefined) throw new Error('it is not running');
  fleet.strangers.set(address, (request) => pass(request, () => running.answer(request)));
}

describe('a look that began before the cloud told of a later epoch', () => {
  it('does not lead a node that follows the cloud back', async () => {
    fleet.cloud.reachable = true;
    const [a, b] = [fleet.machine('a'), fleet.machine('b', { cloud_url: CLOUD, lead: false })];
    fleet.cut.add(a.address);
    await claimAtCloud('c');
    await a.boot();
    await b.boot();
    await fleet.elapse(TTL_MS / 3);
    expect(a.state).toMatchObject({ leads: true, epoch: 1 });
    expect(b.state).toMatchObject({ source: 'cloud', epoch: 1, leader_node_id: 'c' });
    let challenges = 0;
    intercept(a, async (request, answer) => {
      if (request.url.includes('challenge') && challenges++ === 0) {
        await cloud().release({ node_id: 'c', epoch: 1 }, 'default');
        await claimAtCloud('d');
        b.discovery.poke();
        await fleet.clock.sleep(500);
      }
      return answer();
    });
    fleet.cut.clear();
    b.discovery.look();
    await fleet.until(() => b.state.epoch > 1 || b.state.leader_node_id === 'a', TTL_MS);
    expect(challenges).toBe(1);
    expect(await followedBy(b, 3000)).toEqual(['2/d']);
  });
});

describe('a plan answer that was under way while its leader began a later epoch', () => {
  it('is asked for again', async () => {
    const [a, b] = await fleet.booted(2);
    if (a === undefined || b === undefined) throw new Error('there are two machines');
    const [leader, follower] = a.state.leads ? [a, b] : [b, a];
    const { epoch } = leader.state;
    const old = await leader.client.plan(follower.node_id);
    leader.kill();
    await leader.boot();
    await fleet.until(() => follower.state.epoch > epoch && leader.state.leads, 4 * TTL_MS);
    let plans = 0;
    intercept(leader, async (request, answer) =>
      new URL(request.url).pathname === '/v1/nodes/plan' && plans++ === 0 ? Response.json(old.body) : answer(),
    );
    follower.discovery.poke();
    expect(await followedBy(follower, 3000)).toEqual([`${follower.state.epoch}/${leader.node_id}`]);
    expect(follower.state.epoch).toBeGreaterThan(epoch);
    expect(plans).toBe(2);
  });

  it('and comes again and again is no answer of that leader: the node looks for another, above what it has seen', async () => {
    const [a, b, c] = await fleet.booted(3);
    const machines = [a, b, c].filter((machine) => machine !== undefined);
    const leader = machines.find(({ state }) => state.leads);
    const [follower, other] = machines.filter((machine) => machine !== leader);
    if (leader === undefined || follower === undefined || other === undefined) throw new Error(fleet.standing());
    const old = await leader.client.plan(follower.node_id);
    leader.kill();
    await leader.boot();
    await fleet.until(() => follower.state.epoch > old.body.epoch && other.state.epoch === follower.state.epoch, 4 * TTL_MS);
    const { epoch } = follower.state;
    // Its machine has lost its disk: what answers there now passes calls on to somebody who does not know that it led.
    intercept(leader, async (request, answer) =>
      new URL(request.url).pathname === '/v1/nodes/plan' ? Response.json(old.body) : request.url.includes('leader') ? noLeader() : answer(),
    );
    follower.discovery.poke();
    other.discovery.poke();
    await fleet.until(() => follower.state.epoch > epoch && other.state.epoch === follower.state.epoch, 4 * TTL_MS);
  });
});

describe('a plan answer of a leader whom this node has told nothing yet', () => {
  it('is not taken: its leader is looked for and registered with first', async () => {
    const machines = await fleet.booted(3);
    const leader = machines.find(({ state }) => state.leads);
    const [follower, other] = machines.filter((machine) => machine !== leader);
    if (leader === undefined || follower === undefined || other === undefined) throw new Error(fleet.standing());
    const { body } = await leader.client.plan(follower.node_id);
    // It stepped down, and passes on what it is asked.
    let [plans, registrations] = [0, 0];
    fleet.onRequest = (_from, _to, { url }) => {
      if (new URL(url).pathname === '/v1/nodes/register') registrations += 1;
    };
    intercept(leader, async (request, answer) =>
      new URL(request.url).pathname === '/v1/nodes/plan' && plans++ === 0
        ? Response.json({ ...body, epoch: body.epoch + 1, leader_node_id: other.node_id })
        : answer(),
    );
    follower.discovery.poke();
    expect(await followedBy(follower, 3000)).toEqual([`${body.epoch}/${leader.node_id}`]);
    expect(plans).toBeGreaterThan(1);
    expect(registrations).toBe(1);
  });
});

function noLeader(): Response {
  return Response.json({ type: 'about:blank', title: 'x', status: 404, detail: 'x', code: 'no_leader' }, { status: 404 });
}
