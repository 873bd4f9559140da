import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemberFetch } from '../../runtime-node/member-fetch.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { toTimestamp } from '../../shared/contract/ids.ts';
import { type FollowingKeys, memberKeys } from '../../shared/contract/member-keys.ts';
import { FLEET_KEY } from '../runtime/harness.ts';
import { CLOUD, type FrontDoor, LEADER, startFrontDoor } from './front-door.harness.ts';

const LOCAL_KEY = 'C'.repeat(43);
const holder = await deriveFleetKeys('default', FLEET_KEY);
const OWNER = { authorization: `Bearer ${LOCAL_KEY}` };
let keys: FollowingKeys;
let world: FrontDoor;
beforeEach(async () => {
  const given = { node_id: 'me', fleet: 'default', joined_at: CLOUD, is_cloud: true, local_key: LOCAL_KEY, asked_at: toTimestamp(0) };
  const { discovery_key, documents } = holder;
  keys = await memberKeys({ ...given, discovery_key, document_keys: [documents.public_key], retired_document_keys: [] }, () => 0);
  world = await startFrontDoor({ member: keys, isGateway: true });
  // As the node sends it.
  const credential = await holder.nodeCredential('me');
  world.wire = (request, go) => createMemberFetch(go, { keys, credentialFor: async () => credential, proofOf: () => undefined })(request);
});
afterEach(() => world.close());

const told = async (response: Response) => ({ status: response.status, ...(await response.json()) });

describe('a node that has joined without the fleet key', () => {
  it('brings calls of its owner to the leader as its own', async () => {
    expect((await world.call('GET /v1/events', { headers: OWNER })).status).toBe(200);
    expect((await world.withoutCredential('GET /v1/events', { 'x-api-key': LOCAL_KEY })).status).toBe(200);
    // What a node may not do its owner may not do through it.
    expect(await told(await world.call('GET /v1/nodes', { headers: OWNER }))).toMatchObject({ status: 403, code: 'forbidden' });
    const sent = world.sent.map(({ headers }) => headers.get('authorization'));
    expect(new Set(sent)).toEqual(new Set([`Bearer ${keys.local_credential}`]));
    expect(world.sent.every(({ headers }) => headers.get('x-api-key') === null)).toBe(true);
  });

  it('shows a credential that it can not tell to nobody over plain http, and says whom to ask', async () => {
    for (const credential of [FLEET_KEY, 'bpi~default~k~secret', await holder.nodeCredential('other')]) {
      const answer = await told(await world.call('GET /v1/nodes', { headers: { authorization: `Bearer ${credential}` } }));
      expect(answer).toMatchObject({ status: 421, code: 'misdirected' });
      expect(answer.detail).toContain(LEADER);
    }
    expect(world.sent).toEqual([]);
  });

  it('shows it to no leader over https either: any node of the fleet could pose as one', async () => {
    world.decider = { kind: 'leader', url: LEADER.replace('http:', 'https:'), epoch: 1, node_id: 'b' };
    expect((await world.call('GET /v1/nodes')).status).toBe(421);
    expect(world.sent).toEqual([]);
  });

  it('passes such a call on as it is inside the machine, and the leader says what it allows', async () => {
    world.decider = { kind: 'leader', url: 'http://127.0.0.1:7421', epoch: 1, node_id: 'b' };
    expect((await world.call('GET /v1/nodes')).status).toBe(200);
    const strange = await world.call('GET /v1/nodes', { headers: { authorization: 'Bearer bpi~default~k~secret' } });
    expect(strange.status).toBe(401);
    expect(world.sent.map(({ headers }) => headers.get('authorization'))).toContain(`Bearer ${FLEET_KEY}`);
  });

  it('says that it knows nobody to ask, and takes nothing that others pass on', async () => {
    world.decider = { kind: 'nobody' };
    expect(await told(await world.call('GET /v1/nodes'))).toMatchObject({ status: 503, code: 'no_leader' });
    const forwarded = { 'bootplane-forwarded': '1', authorization: `Bearer ${await holder.nodeCredential('other')}` };
    expect((await world.call('GET /v1/events', { headers: forwarded })).status).toBe(421);
  });

  it('answers what is about itself to its owner alone, lets nobody in, and says why to all others', async () => {
    const answer = await told(await world.call('GET /v1/news'));
    expect(answer).toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(answer.detail).toContain('joined without the fleet key');
    const join = { method: 'POST', body: JSON.stringify({ node_id: 'n' }), headers: OWNER };
    const asked = await world.call('POST /v1/nodes/join', join);
    expect([401, 403]).toContain(asked.status);
    const whose = await world.own.supervisor.authenticate(new Request('http://x', { headers: OWNER }));
    expect(whose).toMatchObject({ scope: 'operator', node_id: 'me' });
    expect(whose).not.toHaveProperty('rests_on');
  });

  it('signs nothing with its own Supervisor', async () => {
    const client = (path: string) =>
      world.own.supervisor.fetch(
        new Request(`http://127.0.0.1${path}`, {
          method: 'PUT',
          headers: { ...OWNER, 'content-type': 'application/json', 'if-match': '"0"' },
          body: JSON.stringify({ services: [{ name: 'bell', version: '1', command: ['true'] }] }),
        }),
      );
    expect(await told(await client('/v1/cluster/plan'))).toMatchObject({
      status: 403,
      detail: expect.stringContaining('signs no documents'),
    });
  });
});
