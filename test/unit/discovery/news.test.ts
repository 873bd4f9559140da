import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import { newsLoop } from '../../../shared/discovery/news-loop.ts';
import type { Session, SessionEnd } from '../../../shared/discovery/session-state.ts';
import { createWaker } from '../../../shared/discovery/waker.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { Fleet, type FleetMachine, TTL_MS } from './fleet.ts';

const service = (name: string, placement?: Record<string, unknown>) => ({
  name,
  version: '1',
  command: ['sleep', '1'],
  ...(placement === undefined ? {} : { placement }),
});
const plan = (...names: string[]) => ({ services: names.map((name) => service(name)) });

let fleet: Fleet;
let seen: string[];
beforeEach(() => {
  fleet = new Fleet();
  seen = [];
  fleet.onRequest = (_, to, request) => seen.push(`${request.method} ${to} ${new URL(request.url).pathname}`);
});
afterEach(() => fleet.close());

async function settled(count: number): Promise<{ leader: FleetMachine; others: FleetMachine[]; machines: FleetMachine[] }> {
  const machines = await fleet.booted(count);
  const [leader] = fleet.leaders();
  if (leader === undefined) throw new Error(fleet.standing());
  seen.length = 0;
  return { leader, machines, others: machines.filter((machine) => machine !== leader) };
}

const made = (path: string) => seen.filter((line) => line.endsWith(` ${path}`)).length;

describe('a follower on the LAN', () => {
  it('applies what is published without waiting for its next heartbeat', async () => {
    const { leader, machines } = await settled(3);
    await leader.client.publish('plan', plan('api'), { if_match: 0 });
    expect(await fleet.until(() => machines.every(({ trace }) => trace.includes('apply 1: api')), 2000)).toBeLessThanOrEqual(150);
    await leader.client.publish('profile', { storage: { buckets: [{ name: 'captures' }] } }, { if_match: 0 });
    const isApplied = () => machines.every(({ trace }) => trace.includes('environment 1: captures'));
    expect(await fleet.until(isApplied, 2000)).toBeLessThanOrEqual(150);
  });

  it('holds one stream open, and asks for nothing while there is no news', async () => {
    const { others } = await settled(3);
    await fleet.elapse(3 * TTL_MS);
    expect(made('/v1/news')).toBe(0);
    expect(made('/v1/nodes/plan')).toBeLessThanOrEqual(others.length);
  });

  it('opens the stream again when it ends, and does so at once and not all the time', async () => {
    const { leader, others } = await settled(2);
    fleet.breakConnections(leader.address);
    await fleet.elapse(100);
    expect(made('/v1/news')).toBe(others.length);
    for (let broken = 0; broken < 20; broken += 1) {
      fleet.breakConnections(leader.address);
      await fleet.elapse(50);
    }
    expect(made('/v1/news')).toBeLessThan(12);
    expect(leader.state.leads).toBe(true);
    for (const { state } of others) expect(state.leader_node_id).toBe(leader.node_id);
  });

  it('knows who would take over as soon as that changes', async () => {
    const { leader, others } = await settled(2);
    const late = fleet.machine('z');
    await late.boot();
    await fleet.elapse(5000);
    leader.kill();
    const left = [...others, late];
    expect(await fleet.until(() => left.some(({ state }) => state.leads), 1000)).toBeLessThanOrEqual(300);
    await fleet.elapse(1000);
    expect(left.filter(({ state }) => state.leads)).toHaveLength(1);
  });

  it('takes a place that has become free without asking for one all the time', async () => {
    const { leader, others, machines } = await settled(3);
    await leader.client.publish('plan', { services: [service('one', { count: 1, roles: ['worker'] })] }, { if_match: 0 });
    await fleet.until(() => others.some(({ running }) => running?.services.running.includes('one')), 3 * TTL_MS, 250);
    const [holder] = others.filter(({ running }) => running?.services.running.includes('one'));
    holder?.kill();
    seen.length = 0;
    const left = machines.filter(({ running }) => running !== undefined);
    await fleet.until(() => left.some(({ running }) => running?.services.running.includes('one')), 5 * TTL_MS, 250);
    expect(made('/v1/nodes/plan')).toBeLessThanOrEqual(4);
  });

  it('that gets another address is right again after one heartbeat, for its leader and for those that would take over', async () => {
    const { leader, others } = await settled(3);
    const [moved, other] = others;
    if (moved === undefined || other === undefined) throw new Error(fleet.standing());
    fleet.move(moved, '192.0.2.77');
    await fleet.elapse(TTL_MS / 2);
    expect((await leader.client.node(moved.node_id)).body).toMatchObject({ url: 'http://192.0.2.77:7420', ip: '192.0.2.77' });
    const { successors } = (await leader.client.plan(other.node_id)).body;
    expect(successors).toContainEqual({ node_id: moved.node_id, url: 'http://192.0.2.77:7420' });
    leader.kill();
    await fleet.until(() => [moved, other].some(({ state }) => state.leads), 1000);
    await fleet.elapse(2000);
    expect([moved, other].filter(({ state }) => state.leads)).toHaveLength(1);
  });
});

describe('a leader from which nothing came for a whole TTL', () => {
  const LEADER = 'http://192.0.2.9:7420';

  /** A follower that was asleep, or whose leader is away: `answers` is what that says when it is asked once more. */
  async function silent(answers: () => Promise<Response>) {
    const clock = new SimulatedClock();
    const asked: string[] = [];
    const ends: SessionEnd[] = [];
    const over = new AbortController();
    let heard_at = 0;
    const fetch = (request: Request) => {
      asked.push(new URL(request.url).pathname);
      return request.url.startsWith(`${LEADER}/v1/news`) ? new Promise<Response>(() => undefined) : answers();
    };
    const session = {
      node: {
        deps: { clock, config: { site: 'default' }, random: seededRandom(), log: recordingLog() },
        standing: { ttl_seconds: () => TTL_MS / 1000, answer: undefined, token: undefined },
        credential: 'of the node',
      },
      located: { source: 'mdns', url: LEADER, fetch, leader: { node_id: 'leader', leader_url: LEADER, epoch: 3 }, provisional: false },
      active: over.signal,
      looks: createWaker(clock),
      polls: createWaker(clock),
      heard: () => {
        heard_at = clock.monotonic();
      },
      quietMs: () => clock.monotonic() - heard_at,
      end: (end: SessionEnd) => {
        ends.push(end);
        over.abort();
      },
    };
    // Only what the loop uses of a session is there.
    const ended = newsLoop(session as unknown as Session);
    await clock.advance(TTL_MS + 1000);
    over.abort();
    await ended;
    return { ends, asked };
  }

  it('is asked once more, since it may be this machine that was asleep', async () => {
    const lease = { node_id: 'leader', leader_url: LEADER, epoch: 3, expires_at: toTimestamp(0), expires_in_ms: 9, provisional: false };
    const { ends, asked } = await silent(async () => Response.json(lease));
    expect(asked).toContain('/v1/leader');
    expect(ends).toEqual([]);
  });

  it.each([
    ['does not answer then either', () => new Promise<Response>(() => undefined)],
    [
      'is another one now',
      async () => Response.json({ node_id: 'other', leader_url: LEADER, epoch: 3, expires_at: toTimestamp(0), expires_in_ms: 9 }),
    ],
    ['refuses', () => Promise.reject(new TypeError('fetch failed'))],
  ])('is taken over from when it %s', async (_, answers) => {
    const { ends } = await silent(answers);
    expect(ends).toEqual([{ why: expect.stringContaining('a whole TTL'), takeover: { gone: 'leader', gone_url: LEADER, successors: [] } }]);
  });
});

describe('two machines with one identity', () => {
  it('that follow one leader: the one put out says so once, and neither services are touched', async () => {
    const { leader, others } = await settled(2);
    await leader.client.publish('plan', plan('api'), { if_match: 0 });
    await fleet.elapse(1000);
    const [original] = others;
    if (original === undefined) throw new Error(fleet.standing());
    const copy = fleet.machine('copy');
    copy.node_id = original.node_id;
    await copy.boot();
    await fleet.elapse(6 * TTL_MS);
    expect([...original.logged('error'), ...copy.logged('error')].length).toBeGreaterThan(0);
    for (const machine of [original, copy]) {
      expect(new Set(machine.logged('error')).size).toBeLessThanOrEqual(2);
      expect(machine.trace).toEqual(['adopt', 'apply 1: api']);
      expect(machine.running?.services.running).toEqual(['api']);
    }
    expect(leader.trace).toEqual(['adopt', 'apply 1: api']);
  });

  it('a restart after a crash is no such thing', async () => {
    const { others, leader } = await settled(2);
    const [crashed] = others;
    crashed?.kill();
    await crashed?.boot();
    await fleet.elapse(4 * TTL_MS);
    for (const machine of [leader, crashed]) expect(machine?.logged('error')).toEqual([]);
  });
});
