import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemberFetch } from '../../runtime-node/member-fetch.ts';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { FORWARDED_HEADER, PASSED_ON } from '../../shared/contract/forward.ts';
import { toTimestamp } from '../../shared/contract/ids.ts';
import { type FollowingKeys, memberKeys } from '../../shared/contract/member-keys.ts';
import type { NodeFinder } from '../../shared/supervisor/auth.ts';
import { call, FLEET_KEY, heartbeat, register, registration } from '../runtime/harness.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { CLOUD, type FrontDoor, LEADER, startFrontDoor } from './front-door.harness.ts';

const LOCAL_KEY = 'C'.repeat(43);
const OF_NODE = 'bpi~default~n~secret-of-b';
const holder = await deriveFleetKeys('default', FLEET_KEY);
const bearer = (credential: string) => ({ authorization: `Bearer ${credential}` });
const told = async (response: Response) => ({ status: response.status, ...(await response.json().catch(() => ({}))) });
const hosts = () => world.sent.map(({ url }) => new URL(url).host);

let keys: FollowingKeys;
let world: FrontDoor;
/** Says whose a credential is; an error: the cloud is away. */
let finder: NodeFinder['nodeOf'];

async function startMember(cloud_url: string | undefined = CLOUD): Promise<void> {
  const given = { node_id: 'me', fleet: 'default', joined_at: CLOUD, is_cloud: true, local_key: LOCAL_KEY, asked_at: toTimestamp(0) };
  const { discovery_key, documents } = holder;
  keys = await memberKeys({ ...given, discovery_key, document_keys: [documents.public_key], retired_document_keys: [] }, () => 0);
  const options = { member: keys, finder: { nodeOf: (credential: string) => finder(credential) } };
  world = await startFrontDoor({ ...options, ...(cloud_url === undefined ? {} : { cloud_url }) });
  world.wire = (request, go) =>
    createMemberFetch(go, { keys, credentialFor: async () => holder.nodeCredential('me'), proofOf: () => undefined })(request);
}
const cut = () => {
  world.wire = async () => {
    throw new TypeError('fetch failed', { cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) });
  };
};
afterEach(() => world.close());

describe('a node that leads without the fleet key', () => {
  beforeEach(async () => {
    finder = async (credential) => {
      const node_id = (await holder.verifyNodeCredential(credential)) ?? (credential === OF_NODE ? 'b' : undefined);
      return node_id === undefined ? undefined : { node_id };
    };
    await startMember();
    world.decider = { kind: 'own' };
  });
  const b = async (request: string, body: unknown, more: Record<string, string> = {}) =>
    told(
      await world.call(request, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { ...bearer(await holder.nodeCredential('b')), ...more },
      }),
    );

  it('answers the nodes of its site itself, each as itself alone', async () => {
    expect(await b('POST /v1/nodes/register', registration('b'))).toMatchObject({ status: 200 });
    expect(await b('POST /v1/nodes/heartbeat', heartbeat('b'))).toMatchObject({ status: 204 });
    expect(await b('POST /v1/nodes/heartbeat', heartbeat('c'))).toMatchObject({ status: 403 });
    const issued = await world.call('POST /v1/nodes/register', {
      method: 'POST',
      body: JSON.stringify(registration('b')),
      headers: bearer(OF_NODE),
    });
    expect(issued.status).toBe(200);
    // As another node without the fleet key passes it on.
    expect(await b('POST /v1/nodes/heartbeat', heartbeat('b'), { [FORWARDED_HEADER]: PASSED_ON })).toMatchObject({ status: 204 });
    expect(world.sent).toEqual([]);
  });

  it('never makes more of a credential than a node, whatever it is told', async () => {
    finder = async () => ({ node_id: 'b' });
    const answer = await world.call('GET /v1/nodes', { headers: bearer('bpi~default~k~secret') });
    expect(answer.status).toBe(403);
    const who = await world.own.supervisor.authenticate(new Request('http://x', { headers: bearer('bpn~default~b~anything') }));
    expect(who).toMatchObject({ scope: 'node', node_id: 'b' });
    expect(who).not.toHaveProperty('rests_on');
  });

  it('lets the cloud answer everybody else, with their own credential over https', async () => {
    await register(world.leader, 'seen-at-the-cloud');
    const answer = await told(await world.call('GET /v1/nodes'));
    expect(answer).toMatchObject({ status: 200, nodes: [{ node_id: 'seen-at-the-cloud' }] });
    const { key } = (await call(world.leader, 'POST /v1/keys', { body: { scope: 'viewer' } })).body;
    expect((await world.call('GET /v1/nodes', { headers: bearer(key) })).status).toBe(200);
    expect(await told(await world.call('GET /v1/nodes', { headers: bearer('no key at all') }))).toMatchObject({ status: 401 });
    expect(new Set(hosts())).toEqual(new Set([new URL(CLOUD).host]));
  });

  it('shows the credential of a node to the cloud by asking alone: a wrong one goes nowhere', async () => {
    for (const credential of ['bpn~default~b~AAAA', await (await deriveFleetKeys('other', FLEET_KEY)).nodeCredential('b')]) {
      const answer = await told(await world.call('GET /v1/events', { headers: bearer(credential) }));
      expect(answer).toMatchObject({ status: 401, code: 'unauthenticated' });
    }
    expect((await world.withoutCredential('GET /v1/events', {})).status).toBe(401);
    expect(world.sent).toEqual([]);
  });

  it('while the cloud is away says that it can not tell, which is not that the credential is wrong', async () => {
    finder = async () => ({ away: 'no answer within 3000 ms' });
    cut();
    const node = await b('POST /v1/nodes/register', registration('b'));
    expect(node).toMatchObject({ status: 503, code: 'unavailable', detail: expect.stringContaining('no answer within 3000 ms') });
    const person = await told(await world.call('GET /v1/nodes'));
    expect(person).toMatchObject({ status: 503, code: 'unavailable', detail: expect.stringContaining("can't be reached") });
    expect(person.detail).toContain('The key of its own directory is good here');
    // Its owner reads on, as this node.
    expect((await world.call('GET /v1/events', { headers: bearer(LOCAL_KEY) })).status).toBe(200);
    const publish = { method: 'PUT', body: JSON.stringify({ services: [] }), headers: { 'if-match': '"0"' } };
    const refused = await told(await world.call('PUT /v1/cluster/plan', publish));
    expect(refused).toMatchObject({ status: 503, detail: expect.stringContaining('Nothing was published') });
  });

  it('turns no call by which a node speaks for itself to the cloud, also while it can not tell whose the credential is', async () => {
    finder = async () => ({ away: 'too many' });
    for (const [request, body] of [
      ['POST /v1/nodes/register', registration('b')],
      ['POST /v1/nodes/heartbeat', heartbeat('b')],
      ['POST /v1/nodes/leave', { node_id: 'b' }],
    ] as const) {
      const init = { method: 'POST', body: JSON.stringify(body), headers: bearer(OF_NODE) };
      const answer = await told(await world.call(request, init));
      expect(answer, request).toMatchObject({ status: 503, code: 'unavailable', detail: expect.stringContaining('too many') });
    }
    expect(world.sent).toEqual([]);
  });

  it('signs no emergency version, for whomever, and says what to do', async () => {
    for (const headers of [
      bearer(FLEET_KEY),
      bearer(LOCAL_KEY),
      { ...bearer('bpf~default~b~mac'), [FORWARDED_HEADER]: 'scope=operator' },
    ]) {
      const publish = { method: 'PUT', body: JSON.stringify({ services: [] }), headers: { ...headers, 'if-match': '"0"' } };
      const answer = await told(await world.call('PUT /v1/cluster/plan?break_glass=true', publish));
      expect(answer).toMatchObject({ status: 403, code: 'forbidden', detail: expect.stringContaining('--no-lead') });
    }
    expect(world.sent).toEqual([]);
  });

  it('tells a node that passes a call on with its own signature to ask the cloud', async () => {
    const headers = { ...bearer('bpf~default~b~mac'), [FORWARDED_HEADER]: 'scope=operator' };
    const answer = await world.call('GET /v1/nodes', { headers });
    expect(answer.status).toBe(421);
    expect(answer.headers.get('location')).toBe(CLOUD);
    expect(world.sent).toEqual([]);
  });
});

describe('a node without the fleet key that follows, with a cloud', () => {
  beforeEach(async () => {
    finder = async () => undefined;
    await startMember();
  });

  it('lets the cloud answer people, and sends no node there', async () => {
    expect((await world.call('GET /v1/nodes')).status).toBe(200);
    expect(hosts()).toEqual([new URL(CLOUD).host]);
    const node = await told(await world.call('GET /v1/events', { headers: bearer(await holder.nodeCredential('other')) }));
    expect(node).toMatchObject({ status: 421, detail: expect.stringContaining(LEADER) });
    expect(world.sent).toHaveLength(1);
  });

  it('while the cloud is away names the leader, and what is the matter', async () => {
    cut();
    const answer = await told(await world.call('GET /v1/nodes'));
    expect(answer).toMatchObject({ status: 421, code: 'misdirected', detail: expect.stringContaining(LEADER) });
    expect(answer.detail).toContain("the cloud can't be reached");
    world.decider = { kind: 'nobody' };
    expect(await told(await world.call('GET /v1/nodes'))).toMatchObject({ status: 503, code: 'no_leader' });
  });

  it('gives an artifact that it has to a node that it can tell, and to nobody else', async () => {
    const bytes = new TextEncoder().encode('an artifact');
    const sha256 = await sha256Hex(bytes);
    const push = new Request(`http://127.0.0.1/v1/artifacts/${sha256}`, {
      method: 'PUT',
      body: bytes,
      headers: { ...bearer(LOCAL_KEY), 'content-type': 'application/octet-stream' },
    });
    expect((await world.own.supervisor.fetch(push)).status).toBeLessThan(300);
    finder = async (credential) =>
      credential === OF_NODE || credential.startsWith('bpn~default~other~') ? { node_id: 'other' } : undefined;
    const other = bearer(await holder.nodeCredential('other'));
    const given = await world.call(`GET /v1/artifacts/${sha256}`, { headers: other });
    expect([given.status, await given.text()]).toEqual([200, 'an artifact']);
    expect((await world.call(`GET /v1/artifacts/${'0'.repeat(64)}`, { headers: other })).status).toBe(421);
    expect((await world.call(`GET /v1/artifacts/${sha256}`, { headers: bearer('bpn~default~stranger~AAAA') })).status).toBe(421);
    expect(world.sent).toEqual([]);
    // A person is somebody to the cloud, which does not have it.
    expect((await world.call(`GET /v1/artifacts/${sha256}`)).status).toBe(404);
  });

  it('brings an emergency version to the leader of the site, never to the cloud', async () => {
    const publish = { method: 'PUT', body: JSON.stringify({ services: [] }), headers: { 'if-match': '"0"' } };
    expect((await world.call('PUT /v1/cluster/plan?break_glass=true', publish)).status).toBe(421);
    expect(world.sent).toEqual([]);
  });
});

describe('a node that holds the fleet key and follows one that does not', () => {
  /** The leader of the site, as it answers what others sign. */
  const keyless = () => {
    world.wire = async (request, go) => {
      const isOfLeader = request.url.startsWith(LEADER);
      if (!isOfLeader || !request.headers.get('authorization')?.startsWith('Bearer bpf~')) return go(request);
      return Response.json(
        { type: 'about:blank', title: 'x', status: 421, code: 'misdirected', detail: 'x' },
        { status: 421, headers: { location: CLOUD } },
      );
    };
  };

  it('goes to the cloud of its settings with the caller’s own credential', async () => {
    world = await startFrontDoor({ cloud_url: CLOUD });
    keyless();
    expect((await world.call('GET /v1/nodes')).status).toBe(200);
    expect(hosts()).toEqual([new URL(LEADER).host, new URL(CLOUD).host]);
    expect(world.sent.map(({ headers }) => headers.get('authorization')?.slice(0, 11))).toEqual(['Bearer bpf~', 'Bearer a fl']);
    const remove = await world.call('POST /v1/nodes/leave', { method: 'POST', body: JSON.stringify({ node_id: 'nobody' }) });
    expect(remove.status).toBe(421);
    expect(hosts().at(-1)).toBe(new URL(LEADER).host);
  });

  it('a proxy answers a read from what it keeps where the cloud does not answer in time', async () => {
    const clock = new SimulatedClock();
    world = await startFrontDoor({ cloud_url: CLOUD, isGateway: true, clock });
    keyless();
    expect((await world.call('GET /v1/nodes')).status).toBe(200);
    const follower = world.wire;
    const hanging = Promise.withResolvers<void>();
    world.wire = (request, go) => {
      if (!request.url.startsWith(CLOUD)) return follower(request, go);
      hanging.resolve();
      return new Promise((_, reject) => request.signal.addEventListener('abort', () => reject(new TypeError('aborted'))));
    };
    const answering = world.call('GET /v1/nodes');
    await hanging.promise;
    await clock.advance(1000);
    const answer = await answering;
    expect([answer.status, answer.headers.get('bootplane-stale')]).toEqual([200, expect.stringMatching(/^\d+$/)]);
  });

  it('a proxy does so for those that it answers, too', async () => {
    world = await startFrontDoor({ cloud_url: CLOUD, isGateway: true });
    keyless();
    expect((await world.call('GET /v1/nodes')).status).toBe(200);
    expect((await world.call('GET /v1/state')).status).toBe(200);
    // Nodes behind it are known to their leader by their own credential.
    await register(world.leader, 'b');
    const beats = await Promise.all(
      [1, 2].map(async () =>
        world.call('POST /v1/nodes/heartbeat', {
          method: 'POST',
          body: JSON.stringify(heartbeat('b')),
          headers: bearer(await holder.nodeCredential('b')),
        }),
      ),
    );
    expect(beats.map(({ status }) => status)).toEqual([204, 204]);
    expect(world.sent.filter(({ url }) => url.startsWith(CLOUD) && url.includes('heartbeat'))).toEqual([]);
  });

  it('without a cloud in its settings shows nobody a credential, and says where to ask', async () => {
    world = await startFrontDoor();
    keyless();
    const answer = await told(await world.call('GET /v1/nodes'));
    expect(answer).toMatchObject({ status: 503, code: 'unavailable', detail: expect.stringContaining(CLOUD) });
    expect(hosts().every((host) => host === new URL(LEADER).host)).toBe(true);
  });
});
