import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Route } from '../../shared/supervisor/route.ts';
import { bootstrapEvent } from './events.cases.ts';
import { call, type Harness, heartbeat, register, registration, type Start } from './harness.ts';

/** A body with which each route that takes one acts for a node. A route that is missing here fails the walks. */
const bodies = (node_id: string): Record<string, unknown> => ({
  'post /v1/nodes/register': registration(node_id),
  'post /v1/nodes/heartbeat': heartbeat(node_id),
  'post /v1/nodes/heartbeats': { heartbeats: [heartbeat(node_id)] },
  'post /v1/nodes/leave': { node_id },
  'post /v1/nodes/plan': { node_id },
  'post /v1/nodes/join': { node_id },
  'post /v1/introspect': { token: `bpn~default~${node_id}~AAAA` },
  'post /v1/keys': { scope: 'viewer' },
  'post /v1/fleets': { fleet: 'x' },
  'post /v1/fleets/{fleet}/rotate': {},
  'post /v1/leader/claim': { node_id, url: 'http://a.test:1' },
  'post /v1/leader/release': { node_id, epoch: 1 },
  'post /v1/sites/uplink': { node_id, url: 'http://a.test:1', epoch: 1, session: 's', seq: 1 },
  'post /v1/bootstrap/events': bootstrapEvent(node_id),
  'put /v1/cluster/plan': { services: [] },
  'put /v1/bootstrap/profile': {},
  'post /v1/cluster/plan/versions': { versions: [] },
  'post /v1/bootstrap/profile/versions': { versions: [] },
});

export const nameOf = ({ method, path }: Route) => `${method} ${path}`;

export function bodyFor(route: Route, node_id: string): unknown {
  const body = route.body === undefined ? undefined : bodies(node_id)[nameOf(route)];
  if (route.body !== undefined && body === undefined) throw new Error(`${nameOf(route)} takes a body: give this walk one`);
  return body;
}

export function accessCases(start: Start): void {
  describe('access to every route', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      for (const id of ['a', 'b']) await register(harness, id);
    });
    afterEach(() => harness.close());

    const send = (route: Route, as: string | null) => {
      const path = route.path.replaceAll('{node_id}', 'a').replaceAll('{generation}', '1').replaceAll('{key_id}', 'k');
      return call(harness, `${route.method.toUpperCase()} ${path}`, { as, body: bodyFor(route, 'a'), headers: { 'if-match': '"0"' } });
    };
    const closed = () => harness.supervisor.routes.filter(({ scope }) => scope !== 'open');
    /** The routes, of those given, that did not answer as they should. */
    const outliers = async (routes: readonly Route[], as: string | null, status: number, code: string) => {
      const replies = await Promise.all(routes.map(async (route) => [nameOf(route), await send(route, as)] as const));
      return replies
        .filter(([, reply]) => reply.status !== status || reply.body.code !== code)
        .map(([name, reply]) => [name, reply.status, reply.body]);
    };

    it('has the routes that this walk is about', () => {
      const names = harness.supervisor.routes.map(nameOf);
      expect(names).toEqual([...new Set(names)]);
      expect(names.length).toBeGreaterThan(20);
      expect(harness.supervisor.routes.filter(({ scope }) => scope === 'open').map(nameOf)).toEqual([
        'get /v1/leader',
        'get /healthz',
        'get /readyz',
      ]);
    });

    it('changes something only for those who may: what a viewer reaches is read', () => {
      const { routes } = harness.supervisor;
      const reads = routes.filter(({ scope }) => scope === 'open' || scope === 'any' || scope === 'viewer');
      expect(reads.filter(({ method }) => method !== 'get').map(nameOf)).toEqual([]);
      expect(routes.filter(({ scope }) => scope === 'join').map(nameOf)).toEqual(['post /v1/nodes/join']);
      // What holds or makes credentials is nothing to look at.
      const ofKeys = routes.filter(({ path }) => /^\/v1\/(keys|fleets)/.test(path));
      expect(ofKeys.filter(({ scope }) => scope !== 'operator' && scope !== 'admin').map(nameOf)).toEqual([]);
    });

    it('is refused without a credential, and says how to give one', async () => {
      expect(await outliers(closed(), null, 401, 'unauthenticated')).toEqual([]);
      expect((await call(harness, 'GET /v1/nodes', { as: null })).headers.get('www-authenticate')).toBe('Bearer');
    });

    it.each(['garbage', 'bpn~default~a~AAAA', 'bpn~default~a~', 'bpn~~~', `bpn~default~a~${'A'.repeat(43)}`, 'x'.repeat(2000)])(
      'is refused with %.30s',
      async (credential) => {
        expect(await outliers(closed(), credential, 401, 'unauthenticated')).toEqual([]);
      },
    );

    it('is refused with a JWT where there is nothing to check it with, and says so', async () => {
      const { body } = await call(harness, 'GET /v1/nodes', { as: 'eyJhbGciOiJFZERTQSJ9.e30.AAAA' });
      expect(body).toMatchObject({
        code: 'unauthenticated',
        detail: expect.stringContaining('takes no JWT: the keys of an issuer are not set'),
      });
    });

    it('is refused with the fleet key and the node credentials of another fleet, of another name or of ours', async () => {
      const { deriveFleetKeys } = await import('../../shared/contract/fleet-keys.ts');
      const other = await deriveFleetKeys('other', 'a fleet key that is only for tests');
      for (const credential of [
        'the key of quite another fleet',
        await harness.foreign.nodeCredential('a'),
        await other.nodeCredential('a'),
      ]) {
        expect(await outliers(closed(), credential, 401, 'unauthenticated')).toEqual([]);
      }
    });

    it('does not let a node act for another node', async () => {
      // Versions are believed for their signature, whoever brings them; and who asks whose a credential is has it.
      const isOfNobody = ({ path }: Route) => path.endsWith('/versions') || path === '/v1/introspect';
      const acting = closed().filter((route) => route.scope === 'node' && !isOfNobody(route));
      expect(acting.length).toBeGreaterThan(5);
      expect(await outliers(acting, await harness.keys.nodeCredential('b'), 403, 'forbidden')).toEqual([]);
    });

    it('does not let a node do what viewers and operators do', async () => {
      const higher = closed().filter(({ scope }) => scope === 'viewer' || scope === 'operator');
      expect(higher.length).toBeGreaterThan(3);
      expect(await outliers(higher, await harness.keys.nodeCredential('a'), 403, 'forbidden')).toEqual([]);
    });

    it('changed nothing in any of these', async () => {
      const before = await harness.database.batch([{ sql: 'select * from nodes', params: [] }]);
      for (const route of closed()) await send(route, await harness.foreign.nodeCredential('a'));
      expect(await harness.database.batch([{ sql: 'select * from nodes', params: [] }])).toEqual(before);
    });

    it('is given for X-API-Key as for a bearer, and for a node to itself', async () => {
      const headers = { 'x-api-key': 'a fleet key that is only for tests' };
      expect((await call(harness, 'GET /v1/nodes', { as: null, headers })).status).toBe(200);
      const as = await harness.keys.nodeCredential('a');
      expect((await call(harness, 'POST /v1/nodes/heartbeat', { as, body: heartbeat('a') })).status).toBe(204);
      const basic = { authorization: 'Basic YTpi' };
      expect(await call(harness, 'GET /v1/nodes', { as: null, headers: basic })).toMatchObject({ status: 401 });
    });
  });
}
