import { beforeAll, describe, expect, it } from 'vitest';
import { deriveFleetKeys, type FleetKeys } from '../../../shared/contract/fleet-keys.ts';
import {
  createAuthenticator,
  type KeyVerifier,
  nameOfCaller,
  requireAdmin,
  requireScope,
  requireSelf,
} from '../../../shared/supervisor/auth.ts';
import { createCallerMemory } from '../../../shared/supervisor/identity/caller-memory.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const KEY = 'a fleet key that is only for tests';
const ADMIN = 'an admin key that is only for tests';
let keys: FleetKeys;
beforeAll(async () => {
  keys = await deriveFleetKeys('default', KEY);
});

const requestWith = (headers: Record<string, string>) => new Request('http://127.0.0.1:7420/v1/nodes', { headers });

/** An authenticator with how often it had to ask for keys: once for each verification. */
function observed({ issued, ...given }: { keys?: FleetKeys; issued?: KeyVerifier } = {}) {
  const asked: string[] = [];
  const clock = new SimulatedClock();
  const memory = createCallerMemory(clock);
  const keysOf = async (fleet: string) => {
    asked.push(fleet);
    return fleet === 'default' ? (given.keys ?? keys) : undefined;
  };
  const isAdmin = async (credential: string) => credential === ADMIN;
  const authenticate = createAuthenticator({ default_fleet: 'default', keysOf, isAdmin }, { memory, issued });
  const present = async (credential: string, headers: Record<string, string> = {}) =>
    authenticate(requestWith({ authorization: `Bearer ${credential}`, ...headers }));
  return { asked, present, authenticate, memory, clock };
}

describe('authentication', () => {
  it('verifies a credential once and remembers it', async () => {
    const { asked, present } = observed();
    const credential = await keys.nodeCredential('a');
    for (let round = 0; round < 3; round += 1)
      expect(await present(credential)).toMatchObject({ fleet: 'default', scope: 'node', node_id: 'a' });
    expect(asked).toEqual(['default']);
    expect(await present(KEY)).toMatchObject({ scope: 'operator' });
    await present(KEY);
    expect(asked).toHaveLength(2);
  });

  it('never remembers a wrong one', async () => {
    const { asked, present } = observed();
    for (let round = 0; round < 2; round += 1)
      await expect(present('wrong')).rejects.toMatchObject({ problem: { code: 'unauthenticated' } });
    expect(asked).toHaveLength(2);
  });

  it('forgets the oldest credential when it has remembered 65536', async () => {
    const genuine: FleetKeys = { ...keys, verifyNodeCredential: async (credential) => credential.split('~')[2] };
    let verified = 0;
    const keysOf = async () => {
      verified += 1;
      return genuine;
    };
    const authenticate = createAuthenticator({ default_fleet: 'default', keysOf }, { memory: createCallerMemory(new SimulatedClock()) });
    const present = async (node_id: string) => authenticate(requestWith({ 'x-api-key': `bpn~default~${node_id}~x` }));
    for (let index = 0; index < 65_537; index += 1) await present(`n${index}`);
    await present('n1');
    expect(verified).toBe(65_537);
    await present('n0');
    expect(verified).toBe(65_538);
  });

  it('asks for no keys when there is no credential, or one that is too long', async () => {
    const { asked, present, authenticate } = observed();
    expect(authenticate(requestWith({}))).toBeUndefined();
    await expect(present('x'.repeat(1025))).rejects.toMatchObject({ problem: { code: 'unauthenticated' } });
    expect(asked).toEqual([]);
  });

  it('looks again after half a minute, and at once when something was revoked', async () => {
    const { asked, present, clock, memory } = observed();
    const credential = await keys.nodeCredential('a');
    await present(credential);
    await clock.advance(29_999);
    await present(credential);
    expect(asked).toHaveLength(1);
    await clock.advance(1);
    await present(credential);
    expect(asked).toHaveLength(2);
    memory.forget();
    await present(credential);
    expect(asked).toHaveLength(3);
  });

  it('answers a remembered credential without a promise, and verifies once for many calls at one time', async () => {
    const { asked, authenticate } = observed();
    const request = requestWith({ 'x-api-key': await keys.nodeCredential('a') });
    await Promise.all(Array.from({ length: 20 }, () => authenticate(request)));
    expect(asked).toHaveLength(1);
    expect(authenticate(request)).toMatchObject({ node_id: 'a' });
  });

  it('does not remember what was revoked while it was being verified', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { present, memory } = observed({
      issued: {
        verify: async (_key, { fleet, key_id }, ofFleet) => {
          await promise;
          return { fleet, keys: ofFleet, scope: 'viewer', issued: { key_id } };
        },
      },
    });
    let looked = 0;
    const verify = async () => {
      looked += 1;
      return present('bpi~default~k1~secret');
    };
    const first = verify();
    memory.forget();
    resolve();
    await first;
    const remembered = memory.recall('bpi~default~k1~secret', () => Promise.reject(new Error('looked again')));
    await expect(remembered).rejects.toThrow('looked again');
    expect(looked).toBe(1);
  });

  it('remembers an issued key no longer than it holds, and what an old fleet key gave no longer than its overlap', async () => {
    const clock = new SimulatedClock();
    const issued = (expires_at: number): KeyVerifier => ({
      verify: async (_key, { fleet, key_id }, ofFleet) => ({ fleet, keys: ofFleet, scope: 'viewer', issued: { key_id, expires_at } }),
    });
    const short = observed({ issued: issued(clock.now() + 5_000) });
    await short.present('bpi~default~k1~secret');
    await short.clock.advance(4_999);
    await short.present('bpi~default~k1~secret');
    expect(short.asked).toHaveLength(1);
    await short.clock.advance(1);
    await short.present('bpi~default~k1~secret');
    expect(short.asked).toHaveLength(2);

    const overlap = observed({ keys: { ...keys, replaces_until: clock.now() + 5_000 } });
    await overlap.present(KEY);
    await overlap.clock.advance(5_000);
    await overlap.present(KEY);
    expect(overlap.asked).toHaveLength(2);
  });

  it('finds the fleet that a credential names, and else the one in the header or the default one', async () => {
    const { asked, present } = observed();
    const refused = { problem: { code: 'unauthenticated', detail: 'the credential is not one of this fleet' } };
    for (const credential of ['bpk~shops~secret', 'bpn~shops~a~mac', 'bpi~shops~k1~secret', 'bps~shops~a~s~mac']) {
      await expect(present(credential, { 'bootplane-fleet': 'default' })).rejects.toMatchObject(refused);
    }
    expect(asked).toEqual(['shops', 'shops', 'shops', 'shops']);
    await expect(present(KEY, { 'bootplane-fleet': 'shops' })).rejects.toMatchObject(refused);
    expect(await present(KEY, { 'bootplane-fleet': 'default' })).toMatchObject({ scope: 'operator', rests_on: 'fleet_key' });
    await expect(present(KEY, { 'bootplane-fleet': 'no name!' })).rejects.toMatchObject(refused);
    // Of a remembered key too.
    await present(KEY);
    await expect(present(KEY, { 'bootplane-fleet': 'shops' })).rejects.toMatchObject(refused);
  });

  it('lets an admin act in the fleet that the call names, and in none without', async () => {
    const { present } = observed();
    expect(await present(ADMIN)).toEqual({ scope: 'admin' });
    const inside = await present(ADMIN, { 'bootplane-fleet': 'default' });
    expect(inside).toMatchObject({ scope: 'operator', fleet: 'default', rests_on: 'admin' });
    expect(inside !== undefined && inside.scope !== 'admin' && nameOfCaller(inside)).toBe('admin');
    await expect(present(ADMIN, { 'bootplane-fleet': 'shops' })).rejects.toMatchObject({ problem: { code: 'unknown_fleet' } });
    await expect(present(ADMIN, { 'bootplane-fleet': '../x' })).rejects.toMatchObject({ problem: { code: 'unknown_fleet' } });
  });

  it('reads the scheme in any case, and a fleet key with spaces', async () => {
    const { authenticate } = observed();
    expect(await authenticate(requestWith({ authorization: `bEARER ${KEY}` }))).toMatchObject({ scope: 'operator' });
    expect(() => authenticate(requestWith({ authorization: 'Bearer' }))).toThrow(/must be "Bearer <credential>"/);
  });
});

describe('scopes', () => {
  it.each([
    ['node', 'any', true],
    ['node', 'node', true],
    ['node', 'viewer', false],
    ['node', 'operator', false],
    ['viewer', 'any', true],
    ['viewer', 'node', false],
    ['viewer', 'viewer', true],
    ['viewer', 'operator', false],
    ['operator', 'node', true],
    ['operator', 'viewer', true],
    ['operator', 'operator', true],
  ] as const)('%s on a route for %s: %s', (scope, needed, allowed) => {
    const attempt = () => requireScope({ fleet: 'default', keys, scope }, needed);
    if (allowed) expect(attempt().scope).toBe(scope);
    else expect(attempt).toThrow(`needs the scope ${needed}`);
  });

  it('an admin who names no fleet reaches nothing of one, and nobody else makes fleets', () => {
    expect(() => requireScope({ scope: 'admin' }, 'viewer')).toThrow('name the fleet');
    const ofFleet = { fleet: 'default', keys, scope: 'operator', subject: 'jane', rests_on: 'admin_of_fleet' } as const;
    expect(() => requireAdmin(ofFleet)).toThrow('needs the scope admin');
    expect(() => requireAdmin({ scope: 'admin' })).not.toThrow();
    expect(() => requireAdmin({ fleet: 'default', keys, scope: 'operator', rests_on: 'admin' })).not.toThrow();
    expect(() => requireAdmin({ fleet: 'default', keys, scope: 'operator', rests_on: 'fleet_key' })).toThrow('needs the scope admin');
    expect(() => requireAdmin(undefined)).toThrow('send the admin key');
  });

  it('a join key opens nothing but joining', () => {
    const joiner = { fleet: 'default', keys, scope: 'join', issued: { key_id: 'k1' } } as const;
    expect(requireScope(joiner, 'join').scope).toBe('join');
    for (const needed of ['any', 'node', 'viewer', 'operator', 'service'] as const) expect(() => requireScope(joiner, needed)).toThrow();
  });

  it('an operator acts for any node, a node for itself', () => {
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'operator' }, 'b')).not.toThrow();
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'node', node_id: 'b' }, 'b')).not.toThrow();
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'node', node_id: 'a' }, 'b')).toThrow("can't act for node b");
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'viewer' }, 'b')).toThrow("can't act for node b");
  });
});
