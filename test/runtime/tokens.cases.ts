import { exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Keyring } from '../../shared/supervisor/auth.ts';
import { createTextJwks } from '../../shared/supervisor/tokens/jwks-text.ts';
import { createUrlJwks } from '../../shared/supervisor/tokens/jwks-url.ts';
import type { Algorithm } from '../../shared/supervisor/tokens/key-set.ts';
import { createTokenVerifier, type TokenVerifierOptions } from '../../shared/supervisor/tokens/verifier.ts';
import { recordingLog } from '../support/recording-log.ts';
import {
  AUDIENCE,
  claimsAt,
  encode,
  forge,
  hmacWith,
  ISSUER,
  jwksOf,
  type MadeKey,
  makeKey,
  makeKeys,
  sign,
} from '../support/token-issuer.ts';
import { call, FLEET_KEY, FOREIGN_KEY, type Harness, heartbeat, register, registration, type Start } from './harness.ts';

const NOW = Date.UTC(2026, 5, 1);
const MINUTE = 60;

export function tokenCases(start: Start): void {
  describe('JWTs as credentials', () => {
    let keys: Record<Algorithm, MadeKey>;
    let fleets: Keyring;
    let harness: Harness;
    /** What the issuer publishes; a test may change it. */
    let jwks: string;
    let now: number;

    beforeAll(async () => {
      keys = await makeKeys();
      const [ours, others] = await Promise.all([deriveFleetKeys('default', FLEET_KEY), deriveFleetKeys('other', FOREIGN_KEY)]);
      fleets = { default_fleet: 'default', keysOf: async (fleet) => [ours, others].find((one) => one.fleet === fleet) };
    });
    beforeEach(async () => {
      now = NOW;
      jwks = jwksOf(...Object.values(keys));
      harness = await begin();
    });
    afterEach(() => harness.close());

    const begin = (more: Partial<TokenVerifierOptions> = {}) => {
      const clock: Clock = { now: () => now, monotonic: () => now, trusted: () => true, sleep: () => new Promise(() => undefined) };
      const text = { name: 'the test', version: async () => jwks, read: async () => jwks };
      const source = createTextJwks({ text, clock, log: recordingLog() });
      return start({
        fleets: more.fleets ?? fleets,
        tokens: createTokenVerifier({ keys: source, fleets, clock, issuer: ISSUER, audience: AUDIENCE, ...more }),
      });
    };
    const at = (seconds: number) => now / 1000 + seconds;
    const claims = (more: Record<string, unknown> = {}) => claimsAt(now, more);
    const token = (more: Record<string, unknown> = {}, header: Record<string, unknown> = {}) => sign(keys.EdDSA, claims(more), header);
    const status = async (as: string, request = 'GET /v1/nodes') => (await call(harness, request, { as })).status;

    describe('that are good', () => {
      it.each(['EdDSA', 'ES256', 'RS256'] as const)('are taken with a signature of %s', async (alg) => {
        const as = await sign(keys[alg], claims({ scope: 'viewer' }));
        expect(await status(as)).toBe(200);
        expect((await call(harness, 'GET /v1/nodes', { as: null, headers: { 'x-api-key': as } })).status).toBe(200);
      });

      it('let a node act as itself and nobody else', async () => {
        const as = await token({ sub: 'a' });
        expect((await call(harness, 'POST /v1/nodes/register', { as, body: registration('a') })).status).toBe(200);
        expect((await call(harness, 'POST /v1/nodes/heartbeat', { as, body: heartbeat('a') })).status).toBe(204);
        await register(harness, 'b');
        expect(await call(harness, 'POST /v1/nodes/heartbeat', { as, body: heartbeat('b') })).toMatchObject({
          status: 403,
          body: { code: 'forbidden' },
        });
        expect(await status(as)).toBe(403);
      });

      it('give a viewer less than an operator', async () => {
        const publish = (as: string) =>
          call(harness, 'PUT /v1/cluster/plan', { as, body: { services: [] }, headers: { 'if-match': '"0"' } });
        expect(await publish(await token({ scope: 'viewer', sub: 'jane' }))).toMatchObject({ status: 403, body: { code: 'forbidden' } });
        expect(await publish(await token({ scope: 'operator', sub: 'jane@example.com' }))).toMatchObject({ status: 200 });
        const history = await call(harness, 'GET /v1/cluster/plan/history');
        expect(history.body.versions).toMatchObject([{ published_by: 'jwt jane@example.com' }]);
        expect(await status(await token({ scope: 'openid viewer profile operator', sub: 'jane' }))).toBe(200);
      });

      it('make keys that have an end, of whatever length, and no others', async () => {
        const as = await token({ scope: 'operator', sub: 'jane' });
        const issue = (body: unknown) => call(harness, 'POST /v1/keys', { as, body });
        for (const body of [{ scope: 'operator' }, { scope: 'viewer' }, { scope: 'node', node_id: 'a' }]) {
          expect(await issue(body)).toMatchObject({
            status: 403,
            body: { code: 'forbidden', detail: expect.stringMatching(/give expires_in_seconds$/) },
          });
        }
        expect((await call(harness, 'GET /v1/keys')).body.keys).toEqual([]);
        const years = await issue({ scope: 'viewer', expires_in_seconds: 315_360_000 });
        expect(years).toMatchObject({ status: 201, body: { created_by: 'jwt jane', expires_at: expect.any(String) } });
        // It ends after a day by itself.
        expect(await issue({ scope: 'join' })).toMatchObject({ status: 201, body: { expires_at: expect.any(String) } });
      });

      it('see the fleet that they name, and no other', async () => {
        await register(harness, 'a');
        const of = async (fleet: string) =>
          (await call(harness, 'GET /v1/nodes', { as: await token({ fleet, scope: 'operator' }) })).body.nodes;
        expect(await of('default')).toMatchObject([{ node_id: 'a' }]);
        expect(await of('other')).toEqual([]);
      });

      it('may come from a clock that differs by the skew, and name several audiences', async () => {
        const edge = { iat: at(MINUTE), nbf: at(MINUTE), scope: 'viewer', aud: ['else', AUDIENCE] };
        expect(await status(await token(edge))).toBe(200);
        expect(await status(await token({ iat: undefined, exp: at(1 - MINUTE), scope: 'viewer' }))).toBe(200);
      });

      it('need no kid where one key only comes into question', async () => {
        expect(await status(await token({ scope: 'viewer' }, { kid: undefined }))).toBe(200);
        const second = await makeKey('second', 'EdDSA');
        jwks = jwksOf(keys.EdDSA, second);
        now += 2000;
        const reply = await call(harness, 'GET /v1/nodes', { as: await token({ scope: 'viewer', sub: 'other' }, { kid: undefined }) });
        expect(reply).toMatchObject({ status: 401 });
        expect(reply.body.detail).toMatch(/it must name one with "kid"/);
      });
    });

    describe('that are not', () => {
      const pemBytes = async ({ publicKey }: MadeKey) => new TextEncoder().encode(await exportSPKI(publicKey));
      const jwkBytes = (key: MadeKey) => new TextEncoder().encode(JSON.stringify(key.jwk));
      const rawBytes = (key: MadeKey) =>
        Uint8Array.from(atob(`${key.jwk.x}=`.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));

      const BAD: [string, () => Promise<string>, RegExp][] = [
        ['of no signature at all', () => forge({ alg: 'none' }, claims()), /algorithm is none of EdDSA, ES256, RS256|malformed/],
        ['of alg None in other letters', () => forge({ alg: 'nOnE', kid: 'eddsa' }, claims()), /algorithm is none of|malformed/],
        ['without an alg', () => forge({ kid: 'eddsa' }, claims()), /malformed/],
        [
          'whose signature was cut off',
          async () => `${(await token()).split('.').slice(0, 2).join('.')}.`,
          /signature does not hold|malformed/,
        ],
        [
          'with a public key (raw) as the secret of an HMAC',
          () => forge({ alg: 'HS256', kid: 'eddsa' }, claims(), hmacWith(rawBytes(keys.EdDSA))),
          /algorithm is none of/,
        ],
        [
          'with a public key (JWK) as the secret of an HMAC',
          () => forge({ alg: 'HS256', kid: 'es256' }, claims(), hmacWith(jwkBytes(keys.ES256))),
          /algorithm is none of/,
        ],
        [
          'with a public key (PEM) as the secret of an HMAC',
          async () => forge({ alg: 'HS256', kid: 'rs256' }, claims(), hmacWith(await pemBytes(keys.RS256))),
          /algorithm is none of/,
        ],
        [
          'that name an algorithm of another type than their key has',
          () => forgeWith('ES256', 'rs256'),
          /not for the algorithm that it names/,
        ],
        ['that name EdDSA and a key of RSA', () => forgeWith('EdDSA', 'rs256'), /not for the algorithm that it names/],
        ['of an algorithm that is not allowed', () => signWith('RS512'), /algorithm is none of/],
        ['of PSS, with the key of RS256', () => signWith('PS256'), /algorithm is none of/],
        ['of a key that nobody knows', async () => sign(await makeKey('new', 'EdDSA'), claims()), /no key of the issuer has the "kid"/],
        [
          'of a key that only has the name of a known one',
          async () => sign(await makeKey('eddsa', 'EdDSA'), claims()),
          /signature does not hold/,
        ],
        ['of a key that they bring along', () => bringKey(), /signature does not hold/],
        ['whose claims were changed', async () => swapClaims(await token(), claims({ scope: 'operator' })), /signature does not hold/],
        ['with a critical header that is not known', () => forge({ alg: 'EdDSA', kid: 'eddsa', crit: ['x'], x: 1 }, claims()), /malformed/],
        ['of another issuer', () => token({ iss: 'https://evil.example.com/' }), /not of the issuer https:\/\/id\.example\.com\//],
        ['for another audience', () => token({ aud: 'another' }), /not for the audience bootplane/],
        ['for other audiences', () => token({ aud: ['another', 'bootplane-test'] }), /not for the audience bootplane/],
        [
          'that hold only later',
          () => token({ nbf: at(MINUTE + 1) }),
          /holds only from 2026-06-01T00:01:01.000Z on, and the clock here says 2026-06-01T00:00/,
        ],
        ['that were issued in the future', () => token({ iat: at(MINUTE + 1) }), /issued in the future, at 2026-06-01T00:01:01/],
        ['that have expired', () => token({ exp: at(-MINUTE) }), /expired at 2026-05-31T23:59:00/],
        ['that expired a million years ago', () => token({ exp: -1e15 }), /expired at no time that there is/],
        ['that never expire', () => token({ exp: undefined }), /no claim "exp"/],
        ['whose end is no time', () => token({ exp: 'soon' }), /claim "exp" is not of the right type|malformed/],
        ['without an issuer', () => token({ iss: undefined }), /no claim "iss"/],
        ['without an audience', () => token({ aud: undefined }), /no claim "aud"/],
        ['without a fleet', () => token({ fleet: undefined }), /claim "fleet" must be there/],
        ['without a scope', () => token({ scope: undefined }), /claim "scope" must be there/],
        ['whose subject holds a line break', () => token({ scope: 'viewer', sub: 'a\nb' }), /claim "sub" must have 1 to 240 characters/],
        ['whose subject holds half a character', () => token({ scope: 'operator', sub: 'a\ud800' }), /claim "sub" must have 1 to 240/],
        ['of an admin where nobody makes fleets', () => token({ scope: 'admin' }), /scope is admin, and nobody makes fleets here/],
        ['without a subject', () => token({ sub: undefined }), /claim "sub" must be there/],
        ['whose scope is a list', () => token({ scope: ['node'] }), /claim "scope" must be there and hold/],
        [
          'whose scope is none of ours',
          () => token({ scope: 'openid nodes' }),
          /claim "scope" holds none of admin, operator, viewer, node/,
        ],
        ['of a node whose subject is no node_id', () => token({ sub: 'a b' }), /claim "sub" must be the node_id/],
        ['of a fleet that is not here', () => token({ fleet: 'elsewhere' }), /no such fleet here/],
        ['whose fleet is no name', () => token({ fleet: 'a/b' }), /claim "fleet"/],
        ['whose claims are no object', () => forge({ alg: 'EdDSA', kid: 'eddsa' }, '[1]', signature), /malformed/],
        ['whose claims are no JSON', () => forge({ alg: 'EdDSA', kid: 'eddsa' }, 'claims', signature), /malformed/],
        ['whose header is no JSON', async () => `eyJ4.${encode(claims())}.AAAA`, /malformed/],
        ['that are very long', () => token({ more: 'x'.repeat(7000) }), /more than 8192 characters/],
      ];
      const signature = async (text: string) =>
        new Uint8Array(await crypto.subtle.sign('Ed25519', keys.EdDSA.privateKey, new TextEncoder().encode(text)));
      const forgeWith = (alg: string, kid: string) =>
        forge({ alg, kid }, claims(), async (text) => {
          const data = new TextEncoder().encode(text);
          return new Uint8Array(await crypto.subtle.sign('RSASSA-PKCS1-v1_5', keys.RS256.privateKey, data));
        });
      const signWith = async (alg: 'RS512' | 'PS256') => {
        const { privateKey } = await generateKeyPair(alg);
        return new SignJWT(claims()).setProtectedHeader({ alg, kid: 'rs256' }).sign(privateKey);
      };
      const bringKey = async () => {
        const own = await makeKey('eddsa', 'EdDSA');
        return sign(own, claims(), { jwk: own.jwk, jku: 'https://evil.example.com/jwks.json' });
      };
      const swapClaims = (good: string, other: unknown) => {
        const [header, , mac] = good.split('.');
        return `${header}.${encode(other)}.${mac}`;
      };

      it.each(BAD)('are refused: those %s', async (_name, make, detail) => {
        const as = await make();
        for (const route of ['GET /v1/nodes', 'POST /v1/nodes/heartbeat', 'GET /healthz']) {
          const body = route.startsWith('POST') ? { body: heartbeat('a') } : {};
          const reply = await call(harness, route, { as, ...body });
          expect(reply).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
          expect(reply.headers.get('www-authenticate')).toBe('Bearer');
          expect(reply.body.detail).toMatch(detail);
          for (const part of as.split('.').filter((one) => one.length > 3)) expect(JSON.stringify(reply.body)).not.toContain(part);
        }
      });

      it('are refused again after a good one of the same claims was taken', async () => {
        const good = await token({ scope: 'viewer' });
        expect(await status(good)).toBe(200);
        expect(await status(`${good.slice(0, -4)}AAAA`)).toBe(401);
        expect(await status(swapClaims(good, claims({ scope: 'operator' })))).toBe(401);
        expect(await status(good)).toBe(200);
      });
    });

    it('of an admin act in the fleet that each request names', async () => {
      await harness.close();
      const admins: Keyring = { ...fleets, isAdmin: async () => false };
      harness = await begin({ fleets: admins });
      await register(harness, 'a');
      const as = await token({ scope: 'admin', fleet: undefined, sub: 'jane' });
      const nodesOf = (fleet: string) => call(harness, 'GET /v1/nodes', { as, headers: { 'bootplane-fleet': fleet } });
      expect((await nodesOf('default')).body.nodes).toMatchObject([{ node_id: 'a' }]);
      expect((await nodesOf('other')).body.nodes).toEqual([]);
      expect(await nodesOf('elsewhere')).toMatchObject({ status: 404, body: { code: 'unknown_fleet' } });
      expect(await call(harness, 'GET /v1/nodes', { as })).toMatchObject({ status: 400 });
      const operator = await token({ scope: 'operator', sub: 'jane' });
      const other = await call(harness, 'GET /v1/nodes', { as: operator, headers: { 'bootplane-fleet': 'other' } });
      expect(other.body.nodes).toMatchObject([{ node_id: 'a' }]);
    });

    it('of an admin that name a fleet are of that fleet alone', async () => {
      await harness.close();
      harness = await begin({ fleets: { ...fleets, isAdmin: async () => false } });
      await register(harness, 'a');
      const as = await token({ scope: 'admin', sub: 'jane' });
      const nodes = (fleet?: string) =>
        call(harness, 'GET /v1/nodes', { as, headers: fleet === undefined ? {} : { 'bootplane-fleet': fleet } });
      for (const own of [undefined, 'default']) expect((await nodes(own)).body.nodes).toMatchObject([{ node_id: 'a' }]);
      expect(await nodes('other')).toMatchObject({
        status: 403,
        body: { detail: expect.stringContaining('of an admin of the fleet default') },
      });
      await call(harness, 'PUT /v1/cluster/plan', { as, body: { services: [] }, headers: { 'if-match': '"0"' } });
      expect((await call(harness, 'GET /v1/cluster/plan', { as })).body.published_by).toBe('jwt jane');
    });

    it('are refused from the moment on in which they expire, the skew included, and before they hold', async () => {
      const as = await token({ scope: 'viewer', exp: at(600) });
      expect(await status(as)).toBe(200);
      now += (600 + MINUTE) * 1000 - 1;
      expect(await status(as)).toBe(200);
      now += 1;
      expect(await status(as)).toBe(401);
      // A clock that is set back by an hour says the truth no more than one that runs ahead.
      now = NOW - 3_600_000;
      expect(await status(as)).toBe(401);
    });

    it('are refused when the issuer takes their key back, and taken when it adds one', async () => {
      const as = await token({ scope: 'viewer' });
      expect(await status(as)).toBe(200);
      const second = await makeKey('second', 'ES256');
      jwks = jwksOf(keys.EdDSA, second);
      now += 2000;
      const rotated = await sign(second, claims({ scope: 'viewer' }));
      expect([await status(as), await status(rotated)]).toEqual([200, 200]);
      jwks = jwksOf(second);
      now += 2000;
      expect([await status(as), await status(rotated)]).toEqual([401, 200]);
    });

    it('are refused when a key of the same name is another one now', async () => {
      const as = await token({ scope: 'viewer' });
      expect(await status(as)).toBe(200);
      jwks = jwksOf(await makeKey('eddsa', 'EdDSA'));
      now += 2000;
      expect(await status(as)).toBe(401);
    });

    it('are checked by the keys at a URL, which is asked as this runtime asks', async () => {
      await harness.close();
      const asked: string[] = [];
      const source = createUrlJwks({
        url: 'https://id.example.com/jwks.json',
        fetch: async ({ method, url, redirect, headers }) => {
          asked.push([method, url, redirect, headers.get('accept')].join(' '));
          return new Response(jwks, { headers: { 'cache-control': 'max-age=300' } });
        },
        clock: { now: () => now, monotonic: () => now, trusted: () => true, sleep: () => new Promise(() => undefined) },
        log: recordingLog(),
      });
      harness = await begin({ keys: source });
      const as = await token({ scope: 'viewer' });
      expect([await status(as), await status(as)]).toEqual([200, 200]);
      expect(asked).toEqual(['GET https://id.example.com/jwks.json manual application/jwk-set+json, application/json']);
    });

    it('can neither be told good nor bad while no keys can be read', async () => {
      jwks = '{"keys":[]}';
      const reply = await call(harness, 'GET /v1/nodes', { as: await token() });
      expect(reply).toMatchObject({ status: 503, body: { code: 'unavailable' } });
      expect(reply.body.detail).toBe('no JWT can be checked now: the keys in the test hold none for EdDSA, ES256, RS256');
    });

    it('are not taken where others could read them on their way; other credentials are', async () => {
      await harness.close();
      harness = await begin({ isExposed: () => true });
      const reply = await call(harness, 'GET /v1/nodes', { as: await token({ scope: 'viewer' }) });
      expect(reply).toMatchObject({ status: 403, body: { code: 'forbidden' } });
      expect(reply.body.detail).toMatch(/not taken over plain http/);
      expect(await status(FLEET_KEY)).toBe(200);
    });

    it('are no credential where JWT mode is off', async () => {
      await harness.close();
      harness = await start({ fleets });
      const reply = await call(harness, 'GET /v1/nodes', { as: await token({ scope: 'viewer' }) });
      expect(reply).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
      expect(await status(FLEET_KEY)).toBe(200);
    });
  });
}
