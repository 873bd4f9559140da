import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signAdvert } from '../../../shared/contract/advert.ts';
import type { Advert } from '../../../shared/ports/lan.ts';
import { Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { keys, strangers } from './harness.ts';
import { oneLeader } from './one-leader.ts';

let fleet: Fleet;
/** Credentials seen by whoever is no node of the fleet. */
let stolen: string[];
beforeEach(() => {
  fleet = new Fleet();
  stolen = [];
});
afterEach(() => fleet.close());

const FORGER = '192.0.2.66';
const FORGER_URL = `http://${FORGER}:7420`;

const unsigned = (more: Partial<Advert> = {}) => ({ fleet: 'default', site: 'default', node_id: 'x', epoch: 3, url: FORGER_URL, ...more });
async function advert(more: Partial<Advert> = {}, signer = keys): Promise<Advert> {
  return { ...unsigned(more), signature: await signAdvert(signer, unsigned(more)) };
}

/** Somebody at an address of his own who advertises this and answers so. */
async function forger(what: Advert, answer: (request: Request) => Promise<Response> | Response, address = FORGER): Promise<void> {
  fleet.strangers.set(address, async (request) => {
    const credential = request.headers.get('authorization');
    if (credential !== null) stolen.push(credential);
    return answer(request);
  });
  await fleet.lan.join(address).advertise(what);
}

const expectOneLeader = (machines: readonly FleetMachine[]) => oneLeader(fleet, machines);

const candidatesOf = ({ state }: FleetMachine) => state.trace?.steps.flatMap(({ candidates = [] }) => candidates) ?? [];

describe('a node that may not lead and finds nobody', () => {
  it('tells a cut network from strangers', async () => {
    const [a, b] = [fleet.machine('a'), fleet.machine('b', { lead: false })];
    await a.boot();
    await b.boot();
    await fleet.elapse(3000);
    fleet.cut.add(b.address);
    const why = () => b.state.waiting_for.join();
    await fleet.until(() => why().includes('none of 1 answered'), 4 * TTL_MS);
    expect(why()).not.toContain('of this fleet');
    a.kill();
    fleet.cut.clear();
    await forger(await advert(), () => Response.json({}));
    b.discovery.look();
    await fleet.until(() => why().includes('none of 2 proved to be of this fleet, and 1 of them did not answer'), 4 * TTL_MS);
  });
});

describe('nodes that boot at once on one LAN', () => {
  it.each([2, 3, 12])('%i of them have one leader, the one with the smallest node_id, within 3 s', async (count) => {
    const machines = Array.from({ length: count }, (_, index) => fleet.machine(String.fromCharCode(97 + index)));
    for (const machine of [...machines].reverse()) await machine.boot();
    await fleet.elapse(3000);
    const leader = expectOneLeader(machines);
    expect(leader.node_id).toBe('a');
    expect(leader.state).toMatchObject({ source: 'self', epoch: 1, provisional: false });
    for (const machine of machines)
      if (machine !== leader) expect(machine.state).toMatchObject({ source: 'mdns', control_plane_url: leader.url });
    await fleet.elapse(3 * TTL_MS);
    expect(expectOneLeader(machines).state.epoch).toBe(1);
  });

  it('a node that comes later follows the one that leads, though its node_id is smaller', async () => {
    const late = fleet.machine('a');
    const first = fleet.machine('b');
    await first.boot();
    await fleet.elapse(5000);
    await late.boot();
    await fleet.elapse(1000);
    expect(expectOneLeader([first, late])).toBe(first);
    expect(candidatesOf(late)).toEqual([{ url: first.url, node_id: 'b', outcome: 'found', detail: 'leads, epoch 1' }]);
    expect(late.state.trace?.steps).toHaveLength(1);
  });

  it('one that may not lead never does, and follows as soon as somebody leads', async () => {
    const shy = fleet.machine('a', { lead: false });
    await shy.boot();
    await fleet.elapse(2 * TTL_MS);
    expect(shy.state).toMatchObject({ leads: false, phase: 'starting' });
    const other = fleet.machine('b');
    await other.boot();
    await fleet.elapse(3000);
    expect(expectOneLeader([shy, other])).toBe(other);
  });

  it('the address of a leader that changes is known to its followers after one heartbeat', async () => {
    const [a, b] = await fleet.booted(2);
    if (a === undefined || b === undefined) throw new Error('two were booted');
    const leader = expectOneLeader([a, b]);
    fleet.move(leader, '192.0.2.40');
    await fleet.elapse(TTL_MS);
    expectOneLeader([a, b]);
  });
});

describe('two sites, and two fleets, on one LAN', () => {
  it('never mix, and say once that they ignore each other', async () => {
    const ours = fleet.machine('a');
    const site = fleet.machine('b', { site: 'north' });
    const fleets = fleet.machine('c', {}, { keys: strangers });
    const named = fleet.machine('d', { fleet: 'others' });
    for (const machine of [ours, site, fleets, named]) await machine.boot();
    await fleet.elapse(70_000);
    for (const { state, node_id } of [ours, site, fleets]) expect(state).toMatchObject({ leads: true, leader_node_id: node_id });
    expect(candidatesOf(ours)).toEqual(
      expect.arrayContaining([
        { url: site.url, node_id: 'b', outcome: 'rejected', detail: 'it is of site north, not default' },
        { url: fleets.url, node_id: 'c', outcome: 'rejected', detail: expect.stringContaining('its signature is not right') },
        { url: named.url, node_id: 'd', outcome: 'rejected', detail: 'it is of fleet others, not default' },
      ]),
    );
    for (const { url } of [site, fleets, named]) expect(ours.logged('warn').filter((line) => line.includes(url))).toHaveLength(1);
  });
});

describe('somebody who pretends', () => {
  const pretend = (body: object, status = 200) => Response.json(body, { status });

  it('with an advert that is signed with another key is not even asked', async () => {
    let asked = 0;
    await forger(await advert({}, strangers), () => {
      asked += 1;
      return pretend({});
    });
    const [a] = await fleet.booted(1);
    expect(asked).toBe(0);
    expect(a?.state.leads).toBe(true);
    expect(a?.logged('warn').filter((line) => line.includes(FORGER_URL))).toHaveLength(1);
  });

  it('with an advert that was recorded is asked, proves nothing, gets no credential, and is shown', async () => {
    const proof = { proof: 'AAAA', proved_by: 'x', proved_by_instance: 'boot', epoch_seen: 3, eligible: true };
    const leads = { leader_url: FORGER_URL, node_id: 'x', epoch: 3, expires_at: '2026-01-01T00:00:00.000Z', expires_in_ms: 9000 };
    await forger(await advert(), () => pretend({ ...leads, provisional: false, confirmed: true, nodes_heard: 99, ...proof }));
    const a = fleet.machine('a');
    await a.boot();
    await fleet.elapse(2500);
    expect(a.state).toMatchObject({ leads: true, epoch: 1 });
    expect(candidatesOf(a)).toEqual([
      { url: FORGER_URL, node_id: 'x', outcome: 'rejected', detail: expect.stringContaining('its proof is not right') },
    ]);
    await fleet.elapse(3 * TTL_MS);
    expect(stolen).toEqual([]);
  });

  it.each([
    ['as it came', (request: Request) => request.url],
    [
      'as if it had been for the leader',
      (request: Request) => request.url.replace(encodeURIComponent(FORGER_URL), encodeURIComponent('http://192.0.2.1:7420')),
    ],
  ])('and passes the challenge on to the true leader, %s, is not believed', async (_, rewritten) => {
    const leader = fleet.machine('a');
    await leader.boot();
    await fleet.elapse(3000);
    fleet.partition = (from, to) => [from, to].sort().join() === '192.0.2.1,192.0.2.2';
    await forger(await advert({ node_id: 'a' }), (request) => leader.running?.answer(new Request(rewritten(request))) ?? pretend({}));
    const late = fleet.machine('b');
    await late.boot();
    await fleet.elapse(2500);
    expect(late.state).toMatchObject({ leads: true, leader_node_id: 'b' });
    expect(candidatesOf(late)).toContainEqual(expect.objectContaining({ url: FORGER_URL, outcome: 'rejected' }));
    expect(stolen).toEqual([]);
  });

  it('and answers without an end is given up on', async () => {
    const endless = () => new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(16_384)) }));
    await forger(await advert(), endless);
    const [a] = await fleet.booted(1);
    expect(a?.state.leads).toBe(true);
    expect(a === undefined ? [] : candidatesOf(a)).toEqual([
      expect.objectContaining({ detail: expect.stringContaining('longer than 65536 bytes') }),
    ]);
  });

  it('with an epoch that is too far ahead changes nothing', async () => {
    await forger(await advert({ epoch: 9_000_000_000 }), () => pretend({}));
    const [a, b] = await fleet.booted(2);
    expect([a?.state.epoch, b?.state.epoch]).toEqual([1, 1]);
    await fleet.elapse(5 * TTL_MS);
    expect(fleet.leaders()).toEqual([a]);
    expect(a?.state.epoch).toBe(1);
    expect(a?.logged('warn').filter((line) => line.includes('too far ahead'))).toHaveLength(1);
  });
});

describe('without multicast', () => {
  it('nodes find each other by the peers that are configured, also where only one knows of the other', async () => {
    const a = fleet.machine('a', {}, { multicast: false });
    const b = fleet.machine('b', { peers: [a.url] }, { multicast: false });
    await b.boot();
    await a.boot();
    await fleet.elapse(5000);
    const leader = expectOneLeader([a, b]);
    const follower = leader === a ? b : a;
    expect(follower.state.source).toBe('peer');
    expect(JSON.parse(a.files.texts.get('peers.json') ?? '{}')).toEqual({ peers: [{ url: b.url, node_id: 'b' }] });
  });

  it('a peer that did not answer is asked again in each round', async () => {
    const a = fleet.machine('a', {}, { multicast: false });
    const b = fleet.machine('b', { peers: [a.url], lead: false }, { multicast: false });
    await b.boot();
    await fleet.elapse(20_000);
    expect(candidatesOf(b)).toEqual([{ url: a.url, outcome: 'no_answer', detail: expect.stringContaining('ECONNREFUSED') }]);
    await a.boot();
    await fleet.elapse(20_000);
    expect(expectOneLeader([a, b])).toBe(a);
  });

  it('a node that asks somebody who only follows is led on to the leader', async () => {
    const a = fleet.machine('a', {}, { multicast: false });
    const b = fleet.machine('b', { peers: [a.url] }, { multicast: false });
    for (const machine of [a, b]) await machine.boot();
    await fleet.elapse(8000);
    const leader = expectOneLeader([a, b]);
    const follower = leader === a ? b : a;
    const c = fleet.machine('c', { peers: [follower.url] }, { multicast: false });
    await c.boot();
    await fleet.elapse(1000);
    expect(expectOneLeader([a, b, c])).toBe(leader);
    expect(candidatesOf(c)).toEqual([
      { url: follower.url, node_id: follower.node_id, outcome: 'found', detail: `follows ${leader.node_id} at ${leader.url}` },
      { url: leader.url, node_id: leader.node_id, outcome: 'found', detail: 'leads, epoch 1' },
    ]);
  });

  it('what was met is remembered over a restart', async () => {
    const a = fleet.machine('a');
    const b = fleet.machine('b');
    for (const machine of [a, b]) await machine.boot();
    await fleet.elapse(5000);
    b.kill();
    fleet.lan.path = () => [];
    await b.boot();
    await fleet.elapse(2500);
    expect(b.state).toMatchObject({ source: 'peer', leader_node_id: 'a' });
  });
});
