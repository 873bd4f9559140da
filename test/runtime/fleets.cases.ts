import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { createFleetRegistry } from '../../shared/supervisor/identity/fleets.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';
import { ADMIN_KEY, type Fleets, SECRET, startFleets } from './fleets.harness.ts';
import { age, FLEET_KEY, registration, type Start } from './harness.ts';

const PLAN = { services: [{ name: 'api', version: '1', command: ['true'] }] };
const publish = (if_match: number) => ({ body: PLAN, headers: { 'if-match': `"${if_match}"` } });

export function fleetCases(start: Start): void {
  describe('many fleets', () => {
    let cloud: Fleets;
    beforeEach(async () => {
      cloud = await startFleets(start);
    });
    afterEach(() => cloud.close());

    it('makes a fleet whose key is shown once, and works by itself from then on', async () => {
      const made = await cloud.admin('POST /v1/fleets', { body: { fleet: 'shops' } });
      expect(made).toMatchObject({ status: 201, body: { fleet: 'shops', key: expect.stringMatching(/^bpk~shops~[\w-]{43}$/) } });
      expect(made.headers.get('cache-control')).toBe('no-store');
      const { key } = made.body;
      expect(await cloud.as(key, 'POST /v1/nodes/register', { body: registration('a') })).toMatchObject({ status: 200 });
      const keys = await deriveFleetKeys('shops', key);
      expect(
        await cloud.as(await keys.nodeCredential('a'), 'POST /v1/leader/claim', { body: { node_id: 'a', url: 'http://a.test:1' } }),
      ).toMatchObject({ status: 200, body: { granted: true } });
      expect(await cloud.as(key, 'PUT /v1/cluster/plan', publish(0))).toMatchObject({ status: 200 });
      expect((await cloud.as(key, 'GET /v1/state')).body).toMatchObject({ fleet: 'shops', leader: { node_id: 'a' } });
      expect((await cloud.as(FLEET_KEY, 'GET /v1/nodes')).body.nodes).toEqual([]);
      const list = await cloud.admin('GET /v1/fleets');
      expect(list.body).toEqual({ fleets: [{ fleet: 'shops', created_at: expect.any(String), key_id: keys.documents.key_id }] });
      const rows = JSON.stringify(await cloud.harness.database.batch([{ sql: 'select * from fleets', params: [] }]));
      expect(rows).not.toContain(key.split('~')[2]);
    });

    it('takes a key that a fleet has already, which then goes with the name of the fleet beside it', async () => {
      const key = 'the key that the shops have had for years'.replaceAll(' ', '-');
      const made = await cloud.admin('POST /v1/fleets', { body: { fleet: 'shops', key } });
      expect(made.status).toBe(201);
      expect(made.body).not.toHaveProperty('key');
      expect((await cloud.as(key, 'GET /v1/state', { headers: { 'bootplane-fleet': 'shops' } })).body.fleet).toBe('shops');
      expect((await cloud.as(key, 'GET /v1/state')).status).toBe(401);
      const keys = await deriveFleetKeys('shops', key);
      expect(await cloud.as(await keys.nodeCredential('a'), 'POST /v1/nodes/register', { body: registration('a') })).toMatchObject({
        status: 200,
      });
    });

    it('makes no second fleet of a name, nor one with a key of another form', async () => {
      await cloud.makeFleet('shops');
      for (const fleet of ['shops', 'default']) {
        expect(await cloud.admin('POST /v1/fleets', { body: { fleet } })).toMatchObject({ status: 409, body: { code: 'fleet_exists' } });
      }
      const other = 'bpk~shops~0123456789012345678901234567890123456789012';
      for (const body of [{ fleet: 'x', key: other }, { fleet: 'x', key: 'short' }, { fleet: 'a~b' }, { fleet: 'x', extra: 1 }, {}]) {
        expect(await cloud.admin('POST /v1/fleets', { body })).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
      }
    });

    it('is for the admin alone', async () => {
      const { key, keys } = await cloud.makeFleet('shops');
      for (const credential of [FLEET_KEY, key, await keys.nodeCredential('a')]) {
        for (const request of ['GET /v1/fleets', 'DELETE /v1/fleets/shops']) {
          expect(await cloud.as(credential, request)).toMatchObject({ status: 403, body: { code: 'forbidden' } });
        }
        expect((await cloud.as(credential, 'POST /v1/fleets', { body: { fleet: 'x' } })).status).toBe(403);
      }
      expect((await cloud.as(`${ADMIN_KEY}x`, 'GET /v1/fleets')).status).toBe(401);
    });

    it('lets the admin do in a named fleet what an operator may, and nothing of a fleet without a name', async () => {
      await cloud.makeFleet('shops');
      expect(await cloud.admin('GET /v1/nodes')).toMatchObject({ status: 400, body: { code: 'bad_request' } });
      expect((await cloud.admin('GET /healthz')).body).toEqual({ status: 'ok' });
      expect(await cloud.admin('GET /v1/nodes', { fleet: 'shop' })).toMatchObject({ status: 404, body: { code: 'unknown_fleet' } });
      expect((await cloud.admin('PUT /v1/cluster/plan', { fleet: 'shops', ...publish(0) })).status).toBe(200);
      expect((await cloud.admin('GET /v1/cluster/plan', { fleet: 'shops' })).body.published_by).toBe('admin');
      expect((await cloud.admin('GET /v1/fleets', { fleet: 'shops' })).status).toBe(200);
      expect((await cloud.admin('GET /v1/state', { fleet: 'default' })).body.fleet).toBe('default');
    });

    it('shows what the process has counted, for all fleets, to the admin and to the fleet of the settings alone', async () => {
      const { key } = await cloud.makeFleet('shops');
      const viewer = (await cloud.as(key, 'POST /v1/keys', { body: { scope: 'viewer' } })).body.key;
      for (const credential of [key, viewer]) {
        const own = (await cloud.as(credential, 'GET /metrics')).body;
        expect(own).toContain('bootplane_info{');
        expect(own).not.toMatch(/_total\b/);
      }
      expect((await cloud.admin('GET /metrics', { fleet: 'shops' })).body).toContain('bootplane_http_requests_total{');
      const ofSettings = (await cloud.as(FLEET_KEY, 'POST /v1/keys', { body: { scope: 'viewer' } })).body.key;
      for (const credential of [FLEET_KEY, ofSettings]) {
        expect((await cloud.as(credential, 'GET /metrics')).body).toContain('bootplane_http_requests_total{');
      }
    });

    it('asks the database for the key of a fleet every half a minute', async () => {
      const { key } = await cloud.makeFleet('shops');
      await cloud.as(key, 'GET /v1/nodes');
      const before = cloud.reads();
      for (let round = 0; round < 5; round += 1) await cloud.as(key, 'GET /v1/nodes');
      cloud.pass(29_000);
      await cloud.as(key, 'GET /v1/nodes');
      expect(cloud.reads()).toBe(before);
      cloud.pass(1_000);
      await Promise.all([1, 2, 3].map(() => cloud.as(key, 'GET /v1/nodes')));
      expect(cloud.reads()).toBe(before + 1);
      for (let round = 0; round < 3; round += 1) expect((await cloud.as(FLEET_KEY, 'GET /v1/nodes')).status).toBe(200);
      for (let round = 0; round < 3; round += 1) expect((await cloud.as('bpk~nobody~x', 'GET /v1/nodes')).status).toBe(401);
      expect(cloud.reads()).toBe(before + 2);
    });

    it('closes a fleet: none of its credentials holds any more, and its rows stay', async () => {
      const { key, keys } = await cloud.makeFleet('shops');
      const node = await keys.nodeCredential('a');
      await cloud.as(node, 'POST /v1/nodes/register', { body: registration('a') });
      for (let round = 0; round < 2; round += 1) {
        expect(await cloud.admin('DELETE /v1/fleets/shops')).toMatchObject({ status: 200, body: { closed_at: expect.any(String) } });
      }
      for (const credential of [key, node]) expect((await cloud.as(credential, 'GET /v1/news')).status).toBe(401);
      expect((await cloud.admin('GET /v1/nodes', { fleet: 'shops' })).status).toBe(404);
      expect((await cloud.admin('POST /v1/fleets', { body: { fleet: 'shops' } })).body.code).toBe('fleet_exists');
      const [rows] = await cloud.harness.database.batch([{ sql: "select node_id from nodes where fleet = 'shops'", params: [] }]);
      expect(rows).toEqual([{ node_id: 'a' }]);
      expect(await cloud.admin('DELETE /v1/fleets/nobody')).toMatchObject({ status: 404, body: { code: 'unknown_fleet' } });
      expect(await cloud.admin('DELETE /v1/fleets/default')).toMatchObject({ status: 409, body: { code: 'fleet_fixed' } });
    });

    it('closes it everywhere within a minute, also for a credential that is first seen elsewhere after that', async () => {
      const elsewhere = await startFleets(start, {}, { wrap: () => cloud.harness.database });
      const { key, keys } = await cloud.makeFleet('shops');
      const node = await keys.nodeCredential('a');
      expect((await elsewhere.as(key, 'GET /v1/nodes')).status).toBe(200);
      expect((await cloud.admin('DELETE /v1/fleets/shops')).status).toBe(200);
      elsewhere.pass(29_000);
      expect((await elsewhere.as(node, 'GET /v1/events')).status).not.toBe(401);
      elsewhere.pass(31_000);
      for (const credential of [key, node]) expect((await elsewhere.as(credential, 'GET /v1/events')).status).toBe(401);
      await elsewhere.close();
    });

    it('lists by pages', async () => {
      for (const fleet of ['c', 'a', 'b']) await cloud.makeFleet(fleet);
      const first = await cloud.admin('GET /v1/fleets?limit=2');
      expect(first.body).toMatchObject({ fleets: [{ fleet: 'a' }, { fleet: 'b' }], next: 'b' });
      const second = await cloud.admin('GET /v1/fleets?limit=2&after=b');
      expect(second.body.fleets).toMatchObject([{ fleet: 'c' }]);
      expect(second.body).not.toHaveProperty('next');
    });

    it('tells nobody by a time or an answer which fleets there are', async () => {
      await cloud.makeFleet('shops');
      const [there, not] = await Promise.all(['shops', 'nobody'].map((fleet) => cloud.as(`bpk~${fleet}~wrong`, 'GET /v1/nodes')));
      expect(there?.status).toBe(401);
      expect(there?.body).toEqual(not?.body);
    });
  });

  describe('a fleet key that is replaced', () => {
    let cloud: Fleets;
    beforeEach(async () => {
      cloud = await startFleets(start);
    });
    afterEach(() => cloud.close());
    const rotate = (as: string, body: unknown = {}, fleet = 'shops') => cloud.as(as, `POST /v1/fleets/${fleet}/rotate`, { body });

    it('holds beside the new one until the overlap ends, and the nodes of both are known', async () => {
      const { key, keys } = await cloud.makeFleet('shops');
      const rotated = await rotate(key, { overlap_seconds: 3600 });
      expect(rotated).toMatchObject({
        status: 200,
        body: { key: expect.stringMatching(/^bpk~shops~/), replaces_until: expect.any(String) },
      });
      const next = { key: rotated.body.key as string, keys: await deriveFleetKeys('shops', rotated.body.key) };
      const old = [key, await keys.nodeCredential('a')];
      const both = [...old, next.key, await next.keys.nodeCredential('b')];
      for (const credential of both) expect((await cloud.as(credential, 'GET /v1/artifacts')).status).not.toBe(401);
      await age(cloud.harness, 3_600_000);
      cloud.pass(60_000);
      for (const credential of old) expect((await cloud.as(credential, 'GET /v1/artifacts')).status).toBe(401);
      expect((await cloud.as(next.key, 'GET /v1/nodes')).status).toBe(200);
      expect((await cloud.admin('GET /v1/fleets')).body.fleets[0]).not.toHaveProperty('replaces_until');
    });

    it('is gone at once without an overlap', async () => {
      const { key, keys } = await cloud.makeFleet('shops');
      const node = await keys.nodeCredential('a');
      await cloud.as(node, 'POST /v1/nodes/register', { body: registration('a') });
      const { body } = await rotate(key, { overlap_seconds: 0 });
      for (const credential of [key, node]) expect((await cloud.as(credential, 'GET /v1/artifacts')).status).toBe(401);
      expect((await cloud.as(body.key, 'GET /v1/nodes')).status).toBe(200);
    });

    it('publishes what is current again under the new key, changes nothing in it, and can read what was before', async () => {
      const { key } = await cloud.makeFleet('shops');
      await cloud.as(key, 'PUT /v1/cluster/plan', publish(0));
      const before = (await cloud.as(key, 'GET /v1/cluster/plan')).body;
      const { body } = await rotate(key, { overlap_seconds: 3600 });
      const after = (await cloud.as(body.key, 'GET /v1/cluster/plan')).body;
      expect(after).toMatchObject({
        generation: 2,
        hash: before.hash,
        parent: before.hash,
        key_id: body.key_id,
        published_by: 'key-rotation',
      });
      expect(after.services).toEqual(before.services);
      expect(cloud.harness.emitted.filter(({ topic }) => topic === 'overlay.plan')).toHaveLength(2);
      await age(cloud.harness, 3_600_000);
      cloud.pass(60_000);
      expect((await cloud.as(body.key, 'GET /v1/cluster/plan/history/1')).body).toEqual(before);
      // What somebody brings is believed under the key of now alone.
      const offer = await cloud.as(body.key, 'POST /v1/cluster/plan/versions', { body: { versions: [{ ...before, generation: 9 }] } });
      expect(offer.status).toBe(400);
      const forged = await cloud.as(body.key, 'POST /v1/cluster/plan/versions', { body: { versions: [before] } });
      expect(forged).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
    });

    it('publishes again in the next sweep what an isolate has published under the old key meanwhile', async () => {
      const { key, keys } = await cloud.makeFleet('shops');
      const { body } = await rotate(key, { overlap_seconds: 3600 });
      const fleets = { default_fleet: 'default', keysOf: async () => keys };
      const stale = await startFleets(start, {}, { wrap: () => cloud.harness.database, fleets });
      expect((await stale.as(key, 'PUT /v1/cluster/plan', publish(0))).status).toBe(200);
      await stale.close();
      expect((await cloud.as(body.key, 'GET /v1/cluster/plan')).body).toMatchObject({ generation: 1, key_id: keys.documents.key_id });
      await cloud.harness.supervisor.sweep();
      expect((await cloud.as(body.key, 'GET /v1/cluster/plan')).body).toMatchObject({ generation: 2, key_id: body.key_id });
      await cloud.harness.supervisor.sweep();
      expect((await cloud.as(body.key, 'GET /v1/cluster/plan')).body.generation).toBe(2);
    });

    it('is replaced once of two at the same moment, and not again within an overlap but by force', async () => {
      const { key } = await cloud.makeFleet('shops');
      const both = await Promise.all([rotate(key), rotate(key)]);
      expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
      const next = both.find(({ status }) => status === 200)?.body.key;
      expect(await rotate(next)).toMatchObject({
        status: 409,
        body: { code: 'rotation_under_way', detail: expect.stringMatching(/holds until 20/) },
      });
      const forced = await rotate(next, { force: true });
      expect(forced.status).toBe(200);
      for (const [credential, status] of [
        [key, 401],
        [next, 200],
        [forced.body.key, 200],
      ] as const) {
        expect((await cloud.as(credential, 'GET /v1/nodes')).status).toBe(status);
      }
    });

    it('takes a given key, and is for who holds the fleet key or an admin', async () => {
      const { key, keys } = await cloud.makeFleet('shops');
      const other = await cloud.makeFleet('labs');
      const operator = (await cloud.as(key, 'POST /v1/keys', { body: { scope: 'operator' } })).body.key;
      expect(await rotate(operator)).toMatchObject({ status: 403 });
      expect(await rotate(await keys.nodeCredential('a'))).toMatchObject({ status: 403 });
      for (const stranger of [other.key, FLEET_KEY]) {
        expect((await rotate(stranger)).body).toMatchObject({ code: 'unknown_fleet', detail: 'there is no fleet shops here' });
        expect((await rotate(stranger, {}, 'nobody')).body.detail).toBe('there is no fleet nobody here');
      }
      expect(await rotate(FLEET_KEY, {}, 'default')).toMatchObject({ status: 409, body: { code: 'fleet_fixed' } });
      expect((await rotate(key, { key: other.key })).body.errors).toMatchObject([{ pointer: '/key' }]);
      const given = 'bpk~shops~0123456789012345678901234567890123456789012';
      const done = await cloud.admin('POST /v1/fleets/shops/rotate', { fleet: 'shops', body: { key: given } });
      expect(done.status).toBe(200);
      expect(done.body).not.toHaveProperty('key');
      expect((await cloud.as(given, 'GET /v1/nodes')).status).toBe(200);
    });
  });

  describe('the secret that fleet keys are sealed under', () => {
    it('is replaced while the one before is known, and opens nothing without', async () => {
      const cloud = await startFleets(start);
      try {
        const { key } = await cloud.makeFleet('shops');
        const parts = {
          database: cloud.harness.database,
          clock: new SimulatedClock(),
          random: seededRandom(),
          log: recordingLog(),
          default_fleet: 'default',
        };
        const secret = 'another secret of the Worker, only for tests';
        const registry = (more: { secret: string; previous_secret?: string }) => createFleetRegistry({ ...parts, ...more });
        await expect((await registry({ secret })).keysOf('shops')).rejects.toMatchObject({ problem: { code: 'unavailable' } });
        expect(await (await (await registry({ secret, previous_secret: SECRET })).keysOf('shops'))?.isFleetKey(key)).toBe(true);
        // It was sealed anew by that.
        expect(await (await (await registry({ secret })).keysOf('shops'))?.isFleetKey(key)).toBe(true);
        await expect((await registry({ secret: SECRET })).keysOf('shops')).rejects.toMatchObject({ problem: { code: 'unavailable' } });
      } finally {
        await cloud.close();
      }
    });

    it('opens a key for its own fleet only, and none that was changed', async () => {
      const cloud = await startFleets(start);
      try {
        const { key } = await cloud.makeFleet('shops');
        await cloud.makeFleet('labs');
        const { database } = cloud.harness;
        const copy = "update fleets set sealed_key = (select sealed_key from fleets where fleet = 'labs') where fleet = 'shops'";
        await database.batch([{ sql: copy, params: [] }]);
        cloud.pass(60_000);
        expect(await cloud.as(key, 'GET /v1/nodes')).toMatchObject({ status: 503, body: { code: 'unavailable' } });
      } finally {
        await cloud.close();
      }
    });
  });
}
