import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { createMemberFetch } from '../../../runtime-node/member-fetch.ts';
import { createClient } from '../../../shared/client.ts';
import { toTimestamp } from '../../../shared/contract/ids.ts';
import type { Member } from '../../../shared/contract/member.ts';
import { createMembership } from '../../../shared/discovery/membership.ts';
import { createOwnToken } from '../../../shared/discovery/own-token.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Database } from '../../../shared/ports/database.ts';
import { createSupervisor } from '../../../shared/supervisor/app.ts';
import { createTextJwks, fixedText } from '../../../shared/supervisor/tokens/jwks-text.ts';
import { createTokenVerifier } from '../../../shared/supervisor/tokens/verifier.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, makeKey, sign } from '../../support/token-issuer.ts';
import { CLOUD, Fleet, type FleetMachine, TTL_MS } from './fleet.ts';
import { FLEET_KEY, keys } from './harness.ts';

/** Of a JWT. Its node has the next one after four fifths of it, as agents do it. */
const LIFE_MS = 600_000;
const keyring = { default_fleet: 'default', keysOf: async (name: string) => (name === 'default' ? keys : undefined) };
const issuer = await makeKey('one', 'EdDSA');
const verifier = (clock: Clock) =>
  createTokenVerifier({
    ...{ clock, issuer: ISSUER, audience: AUDIENCE },
    keys: createTextJwks({ text: fixedText('the test', jwksOf(issuer)), clock, log: recordingLog() }),
    fleets: keyring,
  });

let fleet: Fleet;
let database: Database;
/** What stands in the token file of each node. */
let tokens: Map<string, string>;
/** Questions to the cloud whose a credential is. */
let asked: number;
/** Calls by which a node that does not lead has spoken to the cloud itself. */
let direct: string[];

const renew = async (names: readonly string[]) => {
  const now = fleet.clock.now();
  for (const sub of names) {
    tokens.set(sub, await sign(issuer, claimsAt(now, { sub, exp: Math.floor((now + LIFE_MS) / 1000) })));
  }
};

/** A machine whose node has joined with a JWT and has nothing else. `checks`: it has the keys of the issuer, and may lead with them. */
async function member(name: string, checks: boolean): Promise<FleetMachine> {
  const { clock } = fleet;
  const given: Member = {
    ...{ node_id: name, fleet: 'default', joined_at: CLOUD, is_cloud: true },
    ...{ discovery_key: keys.discovery_key, document_keys: [keys.documents.public_key], retired_document_keys: [] },
    ...{ local_key: name.repeat(43), asked_at: toTimestamp(0) },
  };
  const deps = { files: memoryStateFiles(), log: recordingLog(), clock, random: seededRandom(5) };
  const text = { name: `${name}.jwt`, version: async () => tokens.get(name) ?? '', read: async () => tokens.get(name) ?? '' };
  const token = createOwnToken(text, { clock, log: deps.log });
  const fetch = () => Promise.reject(new Error('not asked here'));
  // The machines of these tests speak plain http to each other.
  const membership = await createMembership(given, { ...deps, fetch, token, insecure_http: true });
  const wrap = (line: Parameters<typeof createMemberFetch>[0]) => createMemberFetch(line, membership);
  const kit = { keys: membership.keys, wrap, documents_url: CLOUD, ...(checks ? { tokens: verifier(clock) } : {}) };
  return fleet.machine(name, { cloud_url: CLOUD }, kit);
}

/** A site whose nodes run one service each, and are seen at the cloud. */
async function site(names: readonly string[], { checks = false } = {}): Promise<FleetMachine[]> {
  await renew(names);
  await cloud().publish('plan', { services: [{ name: 'bell', version: '1', command: ['sleep', '1'] }] }, { if_match: 0 });
  const machines = [];
  for (const name of names) machines.push(await member(name, checks));
  for (const machine of machines) await machine.boot();
  await fleet.elapse(4 * TTL_MS);
  expect(await onlineAt(cloud())).toEqual(names);
  return machines;
}

const cloud = () => createClient({ url: CLOUD, credential: FLEET_KEY, fetch: fleet.cloud.supervisor.fetch });
const theLeader = (): FleetMachine => {
  const [leader, ...more] = fleet.leaders();
  if (leader === undefined || more.length > 0) throw new Error(`there should be one leader:\n${fleet.standing()}`);
  return leader;
};
const others = (machines: readonly FleetMachine[]) => machines.filter((one) => one !== theLeader());
/** What a leader knows of its site, as its owner sees it. */
const at = ({ url, name, running }: FleetMachine) => createClient({ url, credential: name.repeat(43), fetch: running?.answer ?? fetch });
const onlineAt = async (client: ReturnType<typeof cloud>) =>
  (await client.nodes()).body.nodes.flatMap(({ node_id, liveness }) => (liveness === 'online' ? [node_id] : [])).sort();
const applied = (machine: FleetMachine) => machine.trace.filter((line) => line.startsWith('stop') || line.startsWith('apply'));
const expectRunning = (machines: readonly FleetMachine[]) => {
  for (const { running, name } of machines) expect(running?.services.running, name).toEqual(['bell']);
};

/** A cloud that takes JWTs. */
function openCloud(): void {
  const { clock } = fleet;
  database = openSqlite({ path: ':memory:', clock, migrations });
  fleet.cloud.supervisor = createSupervisor({
    ...{ database, clock, random: seededRandom(99), log: recordingLog(), version: '0.0.0-test', ttl_seconds: TTL_MS / 1000 },
    fleets: keyring,
    tokens: verifier(clock),
  });
  fleet.cloud.reachable = true;
}

beforeEach(() => {
  fleet = new Fleet();
  openCloud();
  [tokens, asked, direct] = [new Map(), 0, []];
  fleet.onRequest = (from, to, request) => {
    const { pathname } = new URL(request.url);
    if (to !== CLOUD) return;
    if (pathname === '/v1/introspect') asked += 1;
    else if (request.method === 'POST' && fleet.machines.get(from)?.running?.discovery.state().leads !== true) direct.push(pathname);
  };
});
afterEach(async () => {
  await fleet.close();
  await database.close();
});

describe('a site of nodes with JWTs alone, with a cloud', () => {
  it('has one leader, which is told once of each JWT, also of a renewed one; nobody else speaks to the cloud, and nothing is started anew', async () => {
    const machines = await site(['a', 'b', 'c']);
    expect(theLeader().state).toMatchObject({ source: 'self', confirmed: true });
    expect(asked).toBe(2);
    const before = machines.map(applied);
    direct.length = 0;
    for (let renewals = 1; renewals <= 3; renewals += 1) {
      await fleet.elapse(0.8 * LIFE_MS);
      await renew(['a', 'b', 'c']);
      await fleet.elapse(2 * TTL_MS);
      expect(asked).toBe(2 + 2 * renewals);
      expect(await onlineAt(cloud())).toEqual(['a', 'b', 'c']);
      expect(await onlineAt(at(theLeader()))).toEqual(['a', 'b', 'c']);
    }
    expect(direct).toEqual([]);
    expect(machines.map(applied)).toEqual(before);
    const told = machines.flatMap(({ log, files }) => [...log.lines.map((line) => JSON.stringify(line)), ...files.texts.values()]).join();
    expect(told).not.toContain('eyJ');
  });

  it('goes on while the cloud is away as long as the JWTs hold that its leader knows; after that all run on, and are back with the cloud', async () => {
    const machines = await site(['a', 'b', 'c']);
    const before = machines.map(applied);
    const leader = theLeader();
    fleet.cloud.reachable = false;
    await fleet.elapse(0.9 * LIFE_MS);
    expect(theLeader()).toBe(leader);
    expect(await onlineAt(at(leader))).toEqual(['a', 'b', 'c']);
    await fleet.elapse(0.2 * LIFE_MS);
    expect(await onlineAt(at(leader))).toEqual([leader.node_id]);
    // Renewed ones nobody can tell now.
    await renew(['a', 'b', 'c']);
    await fleet.elapse(4 * TTL_MS);
    expect(theLeader()).toBe(leader);
    expect(await onlineAt(at(leader))).toEqual([leader.node_id]);
    expectRunning(machines);

    fleet.cloud.reachable = true;
    await fleet.elapse(8 * TTL_MS);
    expect(theLeader().state).toMatchObject({ confirmed: true });
    expect(await onlineAt(cloud())).toEqual(['a', 'b', 'c']);
    expect(await onlineAt(at(theLeader()))).toEqual(['a', 'b', 'c']);
    expectRunning(machines);
    expect(machines.map(applied)).toEqual(before);
  });

  it.each([
    ['knows none of its nodes, which run on', false],
    ['knows its nodes where it has the keys of the issuer, also by renewed JWTs', true],
  ])('whose leader dies while the cloud is away is led by another, which %s', async (_, checks) => {
    const machines = await site(['a', 'b', 'c'], { checks });
    const first = theLeader();
    const [one, two] = others(machines).map(({ name }) => name);
    fleet.cloud.reachable = false;
    await fleet.elapse(TTL_MS);
    first.kill();
    await fleet.until(() => fleet.leaders().length === 1, 120_000, 500);
    await renew(['a', 'b', 'c']);
    await fleet.elapse(8 * TTL_MS);
    const now = theLeader();
    expect(now.state).toMatchObject({ provisional: true });
    expect(await onlineAt(at(now))).toEqual(checks ? [one, two] : [now.node_id]);
    expect(asked).toBe(checks ? 0 : 2);
    expectRunning(machines.filter((machine) => machine !== first));

    fleet.cloud.reachable = true;
    await first.boot();
    await fleet.elapse(10 * TTL_MS);
    expect(theLeader().state).toMatchObject({ confirmed: true });
    expect(await onlineAt(cloud())).toEqual(['a', 'b', 'c']);
    expectRunning(machines);
  });
});
