import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Route } from '../../shared/supervisor/route.ts';
import { memoryArtifactStore } from '../support/memory-artifact-store.ts';
import { bodyFor, nameOf } from './access.cases.ts';
import { bootstrapEvent } from './events.cases.ts';
import { ADMIN_KEY, type Fleets, startFleets } from './fleets.harness.ts';
import { heartbeat, type Reply, registration, type Start } from './harness.ts';

/** Every row of the fleet that is walked carries this, in its names or its values. */
const MARK = 'marked-as-ours';
const NODE = `node-${MARK}`;
const SITE = `site-${MARK}`;
const SERVICE = `service-${MARK}`;

/** What differs from call to call, and from one made fleet to another. */
const FRESH = new Set([
  'credential',
  'credential_proof',
  'key',
  'key_id',
  'signature',
  'by',
  'created_by',
  'published_by',
  'expires_in_ms',
  'discovery_key',
  'document_keys',
]);

interface World extends Fleets {
  /** The key of the fleet that is full of rows. */
  readonly ours: string;
  /** The id of a key of that fleet; of none where there is no such fleet. */
  readonly key_id: string;
  /** Of another fleet, by kind. */
  readonly credentials: Readonly<Record<string, string>>;
}

/** A fleet that is full of rows, or is not there at all, and another one that walks. */
async function startWorld(start: Start, isThere = true): Promise<World> {
  const cloud = await startFleets(start, {}, { artifacts: memoryArtifactStores() });
  const ours = isThere ? await cloud.makeFleet('ours') : undefined;
  if (ours !== undefined) await fill(cloud, ours.key, await ours.keys.nodeCredential(NODE));
  const key_id = ours === undefined ? 'a-key-of-nobody' : (await cloud.as(ours.key, 'GET /v1/keys')).body.keys[0].key_id;
  const theirs = await cloud.makeFleet('theirs');
  const issue = async (body: object) => (await cloud.as(theirs.key, 'POST /v1/keys', { body })).body.key as string;
  return {
    ...cloud,
    ours: ours?.key ?? '',
    key_id,
    credentials: {
      'the fleet key': theirs.key,
      'a node of the same name': await theirs.keys.nodeCredential(NODE),
      'an operator': await issue({ scope: 'operator' }),
      'a viewer': await issue({ scope: 'viewer' }),
      'an issued key of the node': await issue({ scope: 'node', node_id: NODE }),
      'a join key': await issue({ scope: 'join' }),
      'a service of the same node': await theirs.keys.serviceToken(NODE, SERVICE),
      'an admin in the other fleet': ADMIN_KEY,
    },
  };
}

function memoryArtifactStores(): (fleet: string) => ReturnType<typeof memoryArtifactStore> {
  const stores = new Map<string, ReturnType<typeof memoryArtifactStore>>();
  return (fleet) => {
    const store = stores.get(fleet) ?? memoryArtifactStore();
    stores.set(fleet, store);
    return store;
  };
}

async function fill(cloud: Fleets, key: string, node: string): Promise<void> {
  const done = async (request: string, body: unknown, as = node, headers: Record<string, string> = {}) => {
    const reply = await cloud.as(as, request, { body, headers });
    if (reply.status >= 300) throw new Error(`${request} answered ${reply.status}: ${JSON.stringify(reply.body)}`);
    return reply;
  };
  const device = { id: `camera-${MARK}`, kind: 'camera' };
  await done('POST /v1/nodes/register', registration(NODE, { site: SITE, devices: [device], url: 'http://marked-as-ours.test:1' }));
  await done(`POST /v1/leader/claim?site=${SITE}`, { node_id: NODE, url: 'http://marked-as-ours.test:1' });
  await done('POST /v1/nodes/heartbeat', heartbeat(NODE, { services_running: [{ name: SERVICE, version: '1', state: 'running' }] }));
  await done('POST /v1/bootstrap/events', { ...bootstrapEvent(NODE), message: MARK });
  await done('PUT /v1/cluster/plan', { services: [{ name: SERVICE, version: '1', command: [MARK] }] }, key, { 'if-match': '"0"' });
  await done('PUT /v1/bootstrap/profile', { storage: { buckets: [{ name: 'marked-as-ours' }] } }, key, { 'if-match': '"0"' });
  await done('POST /v1/nodes/plan', { node_id: NODE });
  await done('POST /v1/keys', { scope: 'viewer', label: MARK }, key);
  await done('POST /v1/keys', { scope: 'join', label: MARK }, key);
}

export function crossFleetCases(start: Start): void {
  describe('another fleet', () => {
    let world: World;
    beforeEach(async () => {
      world = await startWorld(start);
    });
    afterEach(() => world.close());

    it('is answered on every route, with each kind of credential, as if that fleet were not there; and not one row of it is touched', async () => {
      const before = await rowsOfOurs(world);
      expect(JSON.stringify(before)).toContain(MARK);
      const there = await walk(world);
      expect(await rowsOfOurs(world)).toEqual(before);
      await world.close();
      world = await startWorld(start, false);
      const alone = await walk(world);
      expect([...there.keys()]).toEqual([...alone.keys()]);
      expect(there.size).toBeGreaterThan(25 * Object.keys(world.credentials).length);
      for (const [name, reply] of there) expect(reply, name).toEqual(alone.get(name));
    });

    it('gets no document of it taken, however it is signed', async () => {
      const { body: plan } = await world.as(world.ours, 'GET /v1/cluster/plan');
      const offer = { versions: [plan], current: { generation: plan.generation, hash: plan.hash } };
      const theirs = world.credentials['the fleet key'] ?? '';
      expect(await world.as(theirs, 'POST /v1/cluster/plan/versions', { body: offer })).toMatchObject({ status: 400 });
    });

    it('a node of another site of the same fleet reports nothing for this one, and neither leads nor uplinks it while it has a leader', async () => {
      const other = await world.as(world.ours, 'POST /v1/nodes/register', { body: registration('elsewhere', { site: 'elsewhere' }) });
      expect(other.status).toBe(200);
      const created = await world.as(world.ours, 'POST /v1/keys', { body: { scope: 'node', node_id: 'elsewhere' } });
      const { key } = created.body;
      const refused = [
        ['POST /v1/nodes/heartbeat', heartbeat(NODE)],
        ['POST /v1/nodes/leave', { node_id: NODE }],
        ['POST /v1/nodes/plan', { node_id: NODE }],
        [`POST /v1/nodes/heartbeats?site=${SITE}`, { heartbeats: [heartbeat(NODE)] }],
        [`POST /v1/leader/release?site=${SITE}`, { node_id: NODE, epoch: 1 }],
        ['POST /v1/bootstrap/events', bootstrapEvent(NODE)],
      ] as const;
      for (const [request, body] of refused) expect((await world.as(key, request, { body })).status, request).toBe(403);
      const as = { node_id: 'elsewhere', url: 'http://elsewhere.test:1' };
      const uplink = { ...as, epoch: 1, site: SITE, session: 's', seq: 1, full: true, gone: [NODE] };
      const lost = [
        [`POST /v1/leader/claim?site=${SITE}`, as],
        ['POST /v1/sites/uplink', uplink],
      ] as const;
      for (const [request, body] of lost) {
        expect((await world.as(key, request, { body })).body, request).toMatchObject({ granted: false, node_id: NODE });
      }
      expect((await world.as(world.ours, `GET /v1/nodes/${NODE}`)).body).toMatchObject({ site: SITE, liveness: 'online' });
      expect((await world.as(key, `GET /v1/bootstrap/status?node_id=${NODE}`)).status).toBe(403);
    });
  });
}

/** Each answer to another fleet's credentials, by route and kind, without what is new at each call. */
async function walk(world: World): Promise<Map<string, unknown>> {
  const replies = new Map<string, unknown>();
  for (const [kind, credential] of Object.entries(world.credentials)) {
    for (const route of world.harness.supervisor.routes) {
      // A stream without an end, and what an admin is told of all fleets.
      if (route.path === '/v1/news' || ((route.scope === 'admin' || route.path === '/metrics') && credential === ADMIN_KEY)) continue;
      replies.set(`${nameOf(route)} with ${kind}`, plainly(world, await send(world, route, credential)));
    }
  }
  return replies;
}

/** One call of a route about what the full fleet has. */
function send(world: World, route: Route, credential: string): Promise<Reply> {
  const named = { node_id: NODE, generation: '1', key_id: world.key_id, fleet: 'ours', sha256: 'a'.repeat(64) };
  const path = Object.entries(named).reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), route.path);
  const query = route.query !== undefined && 'site' in route.query.shape ? `?site=${SITE}` : '';
  return world.as(credential, `${route.method.toUpperCase()} ${path}${query}`, {
    ...(route.body === undefined ? {} : { body: bodyFor(route, NODE) }),
    headers: { 'if-match': '"0"', ...(credential === ADMIN_KEY ? { 'bootplane-fleet': 'theirs' } : {}) },
  });
}

function plainly({ key_id }: World, { status, body }: Reply): unknown {
  const plain = (value: unknown): unknown => {
    // Ids that are new at each call order a list in another way.
    if (Array.isArray(value)) return value.map(plain).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    if (typeof value === 'string')
      return value
        .replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, 'HERE')
        .replaceAll(key_id, 'KEY')
        .replaceAll(/(lease_remaining_seconds\{[^}]*\}) [\d.]+/g, '$1 TIME')
        .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');
    if (value === null || typeof value !== 'object') return value;
    const entries = Object.entries(value).filter(([name]) => !FRESH.has(name));
    return Object.fromEntries(entries.map(([name, one]) => [name, plain(one)]));
  };
  return { status, body: plain(body) };
}

/** Of every table, the rows of the full fleet. */
async function rowsOfOurs({ harness: { database } }: World): Promise<unknown> {
  const ofFleets = "select name from sqlite_master where type = 'table' and sql like '%fleet text not null%' order by name";
  const [tables = []] = await database.batch([{ sql: ofFleets, params: [] }]);
  expect(tables.length).toBeGreaterThan(10);
  return database.batch(tables.map(({ name }) => ({ sql: `select * from ${name} where fleet = 'ours'`, params: [] })));
}
