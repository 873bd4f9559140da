import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Decider } from '../../runtime-node/followed.ts';
import { createFrontDoor } from '../../runtime-node/front-door.ts';
import { createMemberFetch } from '../../runtime-node/member-fetch.ts';
import { createNodeFinder } from '../../runtime-node/node-finder.ts';
import type { Fetch } from '../../shared/client.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { toTimestamp } from '../../shared/contract/ids.ts';
import { memberKeys } from '../../shared/contract/member-keys.ts';
import { ASK_AGAIN_MS } from '../../shared/discovery/known-nodes.ts';
import { KNOWN_NODES_FILE } from '../../shared/discovery/known-nodes-file.ts';
import { createTextJwks } from '../../shared/supervisor/tokens/jwks-text.ts';
import { createTokenVerifier } from '../../shared/supervisor/tokens/verifier.ts';
import { FLEET_KEY, type Harness, heartbeat, registration } from '../runtime/harness.ts';
import { startOnNode } from '../runtime/node-harness.ts';
import { drain } from '../support/drain.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, makeKey, sign } from '../support/token-issuer.ts';
import { until } from '../support/until.ts';

const CLOUD = 'https://cloud.example';
const ME = 'me';
const key = await makeKey('one', 'EdDSA');
const newKey = await makeKey('two', 'ES256');
const holder = await deriveFleetKeys('default', FLEET_KEY);
const viewers = { scope: 'viewer', sub: 'jane@example.com' };

let clock: SimulatedClock;
let files: ReturnType<typeof memoryStateFiles>;
let log: ReturnType<typeof recordingLog>;
/** What the issuer publishes, as the cloud reads it. */
let jwks: string;
/** As the leader has them, where it does. */
const OWN_JWKS = jwksOf(key);
let isAway: boolean;
/** It says of every credential that it is no node's. */
let knowsNobody: boolean;
/** The JWT that the leader shows to the cloud. */
let ownToken: string;
/** What has left the leader, as `POST /v1/introspect`. */
let sent: string[];
let cloud: Harness;
let leader: { readonly harness: Harness; readonly door: Fetch };

/** Of the node b, for ten minutes. */
const jwt = (more: Record<string, unknown> = {}, by = key) => sign(by, claimsAt(clock.now(), { sub: 'b', ...more }));
const verifier = (text: () => string) => {
  const fleets = { default_fleet: 'default', keysOf: async (fleet: string) => (fleet === 'default' ? holder : undefined) };
  const source = { name: 'the test', version: async () => text(), read: async () => text() };
  return createTokenVerifier({ keys: createTextJwks({ text: source, clock, log }), fleets, clock, issuer: ISSUER, audience: AUDIENCE });
};

/** A node `me` without the fleet key that leads, with its door; a JWT is all that it has for the cloud. `hasKeys`: it can check JWTs itself. */
async function startLeader({ hasKeys = false } = {}): Promise<typeof leader> {
  const given = { node_id: ME, fleet: 'default', joined_at: CLOUD, is_cloud: true, local_key: 'L'.repeat(43), asked_at: toTimestamp(0) };
  const { discovery_key, documents } = holder;
  const keys = await memberKeys({ ...given, discovery_key, document_keys: [documents.public_key], retired_document_keys: [] }, () =>
    clock.now(),
  );
  const wire: Fetch = async (request) => {
    const { origin, pathname } = new URL(request.url);
    if (origin !== CLOUD) throw new Error(`the leader has called ${request.url}`);
    sent.push(`${request.method} ${pathname}`);
    if (isAway) throw new TypeError('fetch failed', { cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) });
    if (knowsNobody && pathname === '/v1/introspect') return Response.json({ active: false });
    return cloud.supervisor.fetch(request);
  };
  const fetch = createMemberFetch(wire, { keys, credentialFor: async () => ownToken, proofOf: () => undefined });
  const config = { cloud_url: CLOUD, lead: true, fleet: 'default' };
  const finder = createNodeFinder({
    config,
    machine: { files, log, clock, random: seededRandom(7) },
    membership: { keys },
    fetch,
    leads: () => true,
  });
  const fleets = { default_fleet: 'default', keysOf: async () => keys };
  const tokens = hasKeys ? { tokens: verifier(() => OWN_JWKS) } : {};
  const harness = await startOnNode({ ...finder, ...tokens, fleets, clock });
  const own = harness.supervisor.fetch;
  const decider: Decider = { kind: 'own' };
  const door = createFrontDoor({
    ...{ own, fetch, clock, keys, site: 'default', isGateway: false, cloud_url: CLOUD },
    identity: { node_id: ME, instance_id: 'boot-me' },
    authenticate: harness.supervisor.authenticate,
    checksJwts: hasKeys,
    decider: () => decider,
    published: () => undefined,
  });
  leader = { harness, door };
  for (const [path, body] of [
    ['/v1/nodes/register', registration(ME)],
    ['/v1/leader/claim', { node_id: ME, url: 'http://192.0.2.1:7420' }],
  ] as const) {
    expect(await call(path, keys.local_credential, body), path).toMatchObject({ status: 200 });
  }
  return leader;
}

/** One call at the leader: a POST where there is a body. */
async function call(path: string, credential: string, body?: unknown) {
  const headers = { authorization: `Bearer ${credential}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  const response = await leader.door(new Request(`http://127.0.0.1:7420${path}`, { headers, ...init }));
  const text = await response.text();
  return { status: response.status, retry_after: response.headers.get('retry-after'), ...(text === '' ? {} : JSON.parse(text)) };
}
const join = (credential: string, node_id = 'b') => call('/v1/nodes/register', credential, registration(node_id));
const beat = (credential: string, node_id = 'b') => call('/v1/nodes/heartbeat', credential, heartbeat(node_id));
const plan = (credential: string, node_id = 'b') => call('/v1/nodes/plan', credential, { node_id });
const asked = () => sent.filter((one) => one === 'POST /v1/introspect').length;
/** Nodes that the cloud has heard itself. */
const heardByCloud = async () => {
  const headers = { authorization: `Bearer ${FLEET_KEY}` };
  const response = await cloud.supervisor.fetch(new Request(`${CLOUD}/v1/nodes`, { headers }));
  return ((await response.json()) as { nodes: { node_id: string }[] }).nodes.map(({ node_id }) => node_id);
};
const learnt = () => until('the file', async () => (files.texts.get(KNOWN_NODES_FILE) ?? '').includes('"b"'));

beforeEach(async () => {
  [clock, files, log] = [new SimulatedClock(), memoryStateFiles(), recordingLog()];
  [jwks, isAway, knowsNobody, sent] = [jwksOf(key), false, false, []];
  ownToken = await jwt({ sub: ME, exp: clock.now() / 1000 + 86_400 });
  cloud = await startOnNode({ clock, tokens: verifier(() => jwks) });
  await startLeader();
});
afterEach(async () => {
  await leader.harness.close();
  await cloud.close();
  const said = JSON.stringify([log.lines, [...files.texts]]);
  expect(said).not.toContain('eyJ');
});

describe('a node with a JWT at a leader without the fleet key, which has no keys of the issuer', () => {
  it('is let in as that node and no other; the cloud is asked once, and the node never speaks to it', async () => {
    const token = await jwt();
    expect(await join(token)).toMatchObject({ status: 200, registered: true });
    expect(await beat(token)).toMatchObject({ status: 204 });
    expect(await plan(token)).toMatchObject({ status: 200, role: 'worker', services: [] });
    expect(await call('/v1/events', token)).toMatchObject({ status: 200 });
    for (const answer of [await join(token, 'c'), await beat(token, 'c'), await plan(token, 'c'), await call('/v1/nodes', token)]) {
      expect(answer).toMatchObject({ status: 403, code: 'forbidden' });
    }
    expect(sent).toEqual(['POST /v1/introspect']);
    expect(await heardByCloud()).toEqual([]);
    const { events } = await call('/v1/events', token);
    expect(events).toContainEqual(expect.objectContaining({ type: 'overlay.register', node_id: 'b' }));
  });

  it.each([
    ['of another fleet', { fleet: 'other' }, 401, /no such fleet/],
    ['that has expired', { exp: Date.UTC(2026, 0, 1) / 1000 - 3600 }, 401, /expired at 2025-12-31T23:00:00/],
    ['for another audience', { aud: 'else' }, 401, /aud/],
    ['of another issuer', { iss: 'https://else.example/' }, 401, /iss/],
    ['of a viewer', viewers, 403, /the credential has the scope viewer/],
    ['of a node that is another one', { sub: 'c' }, 403, /the credential of node c can't act for node b/],
  ] as const)('is refused with one %s, and told why', async (_, more, status, detail) => {
    const token = await jwt(more);
    const code = status === 401 ? 'unauthenticated' : 'forbidden';
    for (const answer of [await join(token), await beat(token), await plan(token)]) {
      expect(answer).toMatchObject({ status, code, detail: expect.stringMatching(detail) });
    }
    expect(await heardByCloud()).toEqual([]);
    expect(asked()).toBe(1);
  });

  it('is refused with one that nobody has signed', async () => {
    const [head, body] = (await jwt()).split('.');
    expect(await join(`${head}.${body}.AAAA`)).toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(await join(await jwt({}, newKey))).toMatchObject({ status: 401, detail: expect.stringContaining('kid') });
    expect(await heardByCloud()).toEqual([]);
  });

  it('is known on while the cloud is away, until the end of its JWT and not a moment longer', async () => {
    const token = await jwt();
    await join(token);
    isAway = true;
    await clock.advance(599_000);
    expect(await beat(token)).toMatchObject({ status: 204 });
    expect(await plan(token)).toMatchObject({ status: 200 });
    await clock.advance(999);
    expect(await beat(token)).toMatchObject({ status: 204 });
    await clock.advance(1);
    expect(await beat(token)).toMatchObject({ status: 503, code: 'unavailable', retry_after: '5' });
    // What the cloud says when it is back.
    isAway = false;
    await clock.advance(120_000);
    expect(await beat(token)).toMatchObject({ status: 401, detail: expect.stringContaining('expired at 2026-01-01T00:10:00') });
  });

  it('is taken as long beyond the end as the cloud takes it, which is asked each time then', async () => {
    const token = await jwt();
    await join(token);
    await clock.advance(630_000);
    for (let n = 0; n < 3; n += 1) expect(await beat(token)).toMatchObject({ status: 204 });
    expect(asked()).toBeGreaterThanOrEqual(4);
    isAway = true;
    expect(await beat(token)).toMatchObject({ status: 503 });
    isAway = false;
    await clock.advance(30_000);
    expect(await beat(token)).toMatchObject({ status: 401 });
  });

  it('of which nobody has told yet is answered 503 while the cloud is away, which says nothing about its JWT, and let in when it is back', async () => {
    isAway = true;
    const [token, wrong] = [await jwt(), await jwt({ fleet: 'other' })];
    for (const one of [token, wrong]) {
      for (const answer of [await join(one), await beat(one), await plan(one)]) {
        expect(answer).toMatchObject({ status: 503, code: 'unavailable', retry_after: '5' });
        expect(answer.detail).toContain("can't be asked at the cloud now");
      }
    }
    isAway = false;
    await clock.advance(5_000);
    expect(await join(token)).toMatchObject({ status: 200 });
    expect(await join(wrong)).toMatchObject({ status: 401 });
  });

  it('is known to a leader that starts again while the cloud is away, by a hash alone', async () => {
    const token = await jwt();
    await join(token);
    await learnt();
    await leader.harness.close();
    isAway = true;
    await startLeader();
    expect(await join(token)).toMatchObject({ status: 200 });
    expect(await join(await jwt({ sub: 'c' }), 'c')).toMatchObject({ status: 503 });
    await clock.advance(600_000);
    expect(await beat(token)).toMatchObject({ status: 503 });
  });

  it('shows a renewed one, which is asked about once, and which nobody can tell while the cloud is away; the one before counts on', async () => {
    const [first, second] = [await jwt(), await jwt({ jti: 'second' })];
    for (const token of [first, second, second]) expect(await join(token)).toMatchObject({ status: 200 });
    expect(asked()).toBe(2);
    isAway = true;
    expect(await beat(await jwt({ jti: 'third' }))).toMatchObject({ status: 503 });
    for (const token of [first, second]) expect(await beat(token)).toMatchObject({ status: 204 });
  });

  it('whose issuer takes its key back is refused within about an hour', async () => {
    const token = await jwt({ exp: clock.now() / 1000 + 86_400 });
    await join(token);
    jwks = jwksOf(newKey);
    ownToken = await jwt({ sub: ME, exp: clock.now() / 1000 + 86_400 }, newKey);
    await clock.advance(0.8 * ASK_AGAIN_MS);
    expect(await beat(token)).toMatchObject({ status: 204 });
    await clock.advance(0.4 * ASK_AGAIN_MS);
    await beat(token);
    await drain();
    await clock.advance(30_000);
    expect(await beat(token)).toMatchObject({ status: 401 });
  });

  it('goes on where the leader has no good JWT itself any more; others are told that it is not about theirs', async () => {
    const token = await jwt();
    await join(token);
    ownToken = await jwt({ sub: ME, exp: clock.now() / 1000 - 3600 });
    expect(await beat(token)).toMatchObject({ status: 204 });
    expect(await join(await jwt({ sub: 'c' }), 'c')).toMatchObject({ status: 503, detail: expect.stringContaining('expired at') });
  });

  it('is turned to the cloud by no call of its own, also where the cloud has come to know its JWT since it was asked', async () => {
    // Its issuer has a new key, of which the cloud learns a moment later.
    const token = await jwt({}, newKey);
    expect(await join(token)).toMatchObject({ status: 401 });
    jwks = jwksOf(key, newKey);
    await clock.advance(30_000);
    for (const answer of [await join(token), await beat(token), await plan(token)]) {
      expect(answer).toMatchObject({ status: 401, detail: expect.stringContaining('within about a minute') });
    }
    expect(await heardByCloud()).toEqual([]);
    await clock.advance(40_000);
    expect(await join(token)).toMatchObject({ status: 200 });
    expect(await heardByCloud()).toEqual([]);
  });
});

describe('a node with an issued key at such a leader', () => {
  it('is turned to the cloud by no call of its own, also where that has taken it for nobody a moment ago', async () => {
    const headers = { authorization: `Bearer ${FLEET_KEY}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ scope: 'node', node_id: 'b' });
    const made = await cloud.supervisor.fetch(new Request(`${CLOUD}/v1/keys`, { method: 'POST', headers, body }));
    const { key: issued } = (await made.json()) as { key: string };
    knowsNobody = true;
    for (const answer of [await join(issued), await beat(issued)]) expect(answer).toMatchObject({ status: 401 });
    knowsNobody = false;
    await clock.advance(70_000);
    expect(await join(issued)).toMatchObject({ status: 200 });
    expect(await heardByCloud()).toEqual([]);
  });
});

describe('a person with a JWT at such a leader', () => {
  it('is answered by the cloud, as what the JWT allows; while it is away that is said', async () => {
    const [viewer, operator] = [await jwt(viewers), await jwt({ ...viewers, scope: 'operator' })];
    expect(await call('/v1/nodes', viewer)).toMatchObject({ status: 200, nodes: [] });
    expect(await call('/v1/nodes/leave', viewer, { node_id: 'b' })).toMatchObject({ status: 403 });
    expect(await call('/v1/nodes/leave', operator, { node_id: 'b' })).toMatchObject({ status: 404, code: 'unknown_node' });
    isAway = true;
    expect(await call('/v1/nodes', viewer)).toMatchObject({ status: 503, code: 'unavailable' });
  });
});

describe('a leader without the fleet key that has the keys of the issuer', () => {
  beforeEach(async () => {
    await leader.harness.close();
    await startLeader({ hasKeys: true });
  });

  it('checks JWTs itself, also while the cloud is away, and asks nobody', async () => {
    isAway = true;
    const token = await jwt();
    expect(await join(token)).toMatchObject({ status: 200 });
    expect(await beat(token)).toMatchObject({ status: 204 });
    expect(await beat(token, 'c')).toMatchObject({ status: 403 });
    expect(await call('/v1/nodes', await jwt(viewers))).toMatchObject({ status: 200, nodes: [{ node_id: 'b' }, { node_id: ME }] });
    expect(await join(await jwt({ exp: clock.now() / 1000 - 3600 }))).toMatchObject({
      status: 401,
      detail: expect.stringContaining('expired'),
    });
    expect(sent).toEqual([]);
  });

  it('says itself what is wrong with one, also where the cloud takes it', async () => {
    const token = await jwt({}, newKey);
    jwks = jwksOf(key, newKey);
    expect(await join(token)).toMatchObject({ status: 401, detail: expect.stringContaining('kid') });
    expect(sent).toEqual([]);
  });
});
