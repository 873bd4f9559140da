import { beforeAll, describe, expect, it } from 'vitest';
import { deriveFleetKeys, type FleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { createAuthenticator, requireScope, requireSelf } from '../../../shared/supervisor/auth.ts';

const KEY = 'a fleet key that is only for tests';
let keys: FleetKeys;
beforeAll(async () => {
  keys = await deriveFleetKeys('default', KEY);
});

const requestWith = (headers: Record<string, string>) => new Request('http://127.0.0.1:7420/v1/nodes', { headers });

/** An authenticator with how often it had to ask for keys: once for each verification. */
function observed() {
  const asked: string[] = [];
  const keysOf = async (fleet: string) => {
    asked.push(fleet);
    return fleet === 'default' ? keys : undefined;
  };
  const authenticate = createAuthenticator({ default_fleet: 'default', keysOf });
  const present = async (credential: string) => authenticate(requestWith({ authorization: `Bearer ${credential}` }));
  return { asked, present, authenticate };
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
    const authenticate = createAuthenticator({
      default_fleet: 'default',
      keysOf: async () => {
        verified += 1;
        return genuine;
      },
    });
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

  it('an operator acts for any node, a node for itself', () => {
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'operator' }, 'b')).not.toThrow();
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'node', node_id: 'b' }, 'b')).not.toThrow();
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'node', node_id: 'a' }, 'b')).toThrow("can't act for node b");
    expect(() => requireSelf({ fleet: 'default', keys, scope: 'viewer' }, 'b')).toThrow("can't act for node b");
  });
});
