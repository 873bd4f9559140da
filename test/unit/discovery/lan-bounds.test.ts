import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signAdvert, verifyAdvert } from '../../../shared/contract/advert.ts';
import type { LeaderProof } from '../../../shared/contract/leader.ts';
import { Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { keys, strangers } from './harness.ts';

let fleet: Fleet;
beforeEach(() => {
  fleet = new Fleet();
});
afterEach(() => fleet.close());

const urlOf = (address: string) => `http://${address}:7420`;

async function advertOf(node_id: string, address: string, epoch: number, signer = keys) {
  const claims = { fleet: 'default', site: 'default', node_id, epoch, url: urlOf(address) };
  return { ...claims, signature: await signAdvert(signer, claims) };
}

/** A node of the fleet that proves to lead, and does nothing else. */
async function proveToLead(request: Request, node_id: string, leads: { epoch: number; nodes_heard: number }): Promise<Response> {
  const query = new URL(request.url).searchParams;
  const origin = query.get('origin') ?? '';
  const known = { epoch: leads.epoch, provisional: false, confirmed: false, nodes_heard: leads.nodes_heard };
  const proved = { epoch_seen: leads.epoch, eligible: true };
  const signed: LeaderProof = {
    purpose: 'leader-proof',
    challenge: query.get('challenge') ?? '',
    fleet: 'default',
    site: 'default',
    origin,
    node_id,
    instance_id: 'its-boot',
    leader_node_id: node_id,
    leader_url: origin,
    ...known,
    ...proved,
  };
  const lease = { leader_url: origin, node_id, expires_at: '2026-01-01T00:00:00.000Z', expires_in_ms: 9000 };
  const proof = await keys.signHint(signed);
  return Response.json({ ...lease, ...known, ...proved, proof, proved_by: node_id, proved_by_instance: 'its-boot' });
}

describe('a leader that waits for one with more right to go above it', () => {
  it('is in no hurry any more when that one is gone', async () => {
    const [a] = (await fleet.booted(1)) as [FleetMachine];
    const address = '192.0.2.66';
    fleet.strangers.set(address, (request) => proveToLead(request, 'w', { epoch: 1, nodes_heard: 50 }));
    a.discovery.hear(await advertOf('w', address, 1));
    await fleet.elapse(5000);
    expect(a.state.trace?.steps.map(({ detail }) => detail).join()).toContain('steps down as soon as that one leads above both');
    fleet.cut.add(address);
    await fleet.elapse(TTL_MS);
    const before = fleet.lan.sent.query;
    await fleet.elapse(8 * TTL_MS);
    expect(a.state).toMatchObject({ leads: true, epoch: 1 });
    // Three for each look, of which there is one in about four TTLs.
    expect(fleet.lan.sent.query - before).toBeLessThanOrEqual(3 * 4);
  });
});

describe('a leader that hears of one with more right long after its last look at everybody', () => {
  it('gives that one the usual moment to go above it before it looks again', async () => {
    const [a] = (await fleet.booted(1)) as [FleetMachine];
    const address = '192.0.2.66';
    let asked = 0;
    fleet.strangers.set(address, (request) => {
      asked += 1;
      return proveToLead(request, 'w', { epoch: 1, nodes_heard: 50 });
    });
    a.discovery.hear(await advertOf('w', address, 1));
    await fleet.until(() => asked > 0, 1000, 1);
    const { query } = fleet.lan.sent;
    const passed_ms = await fleet.until(() => fleet.lan.sent.query > query, 2000);
    expect(passed_ms).toBeGreaterThanOrEqual(500);
    expect(passed_ms).toBeLessThanOrEqual(1010);
  });
});

describe('what others can make a node do', () => {
  it('forged adverts without number are told a limited number of times', async () => {
    const [a] = (await fleet.booted(1)) as [FleetMachine];
    for (let index = 0; index < 1000; index += 1)
      a.discovery.hear(await advertOf('x', `198.51.${index % 250}.${Math.floor(index / 250) + 1}`, 3, strangers));
    await fleet.elapse(1000);
    const told = a.logged('warn').filter((line) => line.includes('ignored'));
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThanOrEqual(257);
    expect(told.at(-1)).toContain('no more of them are told');
  });

  it('an advert with text that no signature can cover is forged, and no fault of the node that hears it', async () => {
    const [a] = (await fleet.booted(1)) as [FleetMachine];
    const advert = { ...(await advertOf('x', '192.0.2.66', 3)), url: 'http://192.0.2.66:7420/\ud800' };
    await expect(verifyAdvert(keys, advert)).resolves.toBe(false);
    await expect(keys.documents.verify({ purpose: 'document', by: '\ud800' }, 'A'.repeat(86))).resolves.toBe(false);
    const query = new URLSearchParams({ challenge: 'c'.repeat(32), fleet: 'default', origin: a.url, advert: JSON.stringify(advert) });
    const answer = await a.running?.answer(new Request(`${a.url}/v1/leader?${query}`));
    expect(answer?.status).toBe(200);
    await fleet.elapse(1000);
    expect(a.logged('warn').filter((line) => line.includes('its signature is not right'))).toHaveLength(1);
  });

  it('a follower that hears of a new epoch from a whole site asks only a few of them', async () => {
    const machines = (await fleet.booted(2)) as [FleetMachine, FleetMachine];
    const follower = machines.find(({ state }) => !state.leads) as FleetMachine;
    const asked = new Set<string>();
    for (let index = 1; index <= 60; index += 1) {
      const address = `198.51.100.${index}`;
      fleet.strangers.set(address, async () => {
        asked.add(address);
        return Response.json({}, { status: 404 });
      });
      follower.discovery.hear(await advertOf(`n${index}`, address, 5));
    }
    await fleet.elapse(3000);
    expect(asked.size).toBeGreaterThan(0);
    expect(asked.size).toBeLessThanOrEqual(16);
    expect(follower.state.source).toBe('mdns');
  });
});

describe('a node of a large site', () => {
  it.each([
    ['that have seen leaders', 3, 12],
    ['that are as new as itself', 0, 6],
  ])(
    'asks only some of those that are heard, %s, and too busy to answer, and leads as long as none of them does',
    async (_, epoch, some) => {
      const asked: string[] = [];
      for (let index = 1; index <= 40; index += 1) {
        const address = `198.51.100.${index}`;
        fleet.strangers.set(address, ({ signal }) => {
          asked.push(address);
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
        });
        await fleet.lan.join(address).advertise(await advertOf(`n${index}`, address, epoch));
      }
      const node = fleet.machine('x');
      await node.boot();
      await fleet.until(() => node.state.leads, TTL_MS);
      // The first of those that come before it, and of those that told of an epoch: three times.
      const atLast = 3 * (3 + epoch);
      expect(asked.length).toBeGreaterThanOrEqual(some);
      expect(asked.length).toBeLessThanOrEqual(some + atLast);
    },
  );

  it('does not lead beside one that it heard of, and that was only too busy to answer in time', async () => {
    const address = '198.51.100.1';
    const began = fleet.clock.monotonic();
    fleet.strangers.set(address, async (request) => {
      // Busy with its own start, as far as a newcomer can tell.
      await fleet.clock.sleep(began + 3500 - fleet.clock.monotonic(), request.signal);
      return proveToLead(request, 'a', { epoch: 1, nodes_heard: 1 });
    });
    await fleet.lan.join(address).advertise(await advertOf('a', address, 1));
    const node = fleet.machine('x');
    await node.boot();
    await fleet.until(() => node.state.source !== undefined, TTL_MS);
    expect(node.state).toMatchObject({ leads: false, leader_node_id: 'a' });
  });

  it('writes down no look that changed nothing, whoever was asked', async () => {
    const machines = await fleet.booted(12);
    const [, follower] = machines as [FleetMachine, FleetMachine];
    const written: string[] = [];
    const { write } = follower.files;
    follower.files.write = (name, text) => {
      written.push(name);
      return write(name, text);
    };
    const { at } = follower.state.trace ?? expect.fail();
    await fleet.elapse(16 * TTL_MS);
    expect(follower.state.trace?.at).not.toBe(at);
    expect(written.filter((name) => name === 'discovery-trace.json').length).toBeLessThanOrEqual(1);
  });
});
