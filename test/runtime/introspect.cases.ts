import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { FORWARDED_HEADER, PASSED_ON } from '../../shared/contract/forward.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { createTextJwks } from '../../shared/supervisor/tokens/jwks-text.ts';
import { createTokenVerifier } from '../../shared/supervisor/tokens/verifier.ts';
import { recordingLog } from '../support/recording-log.ts';
import { AUDIENCE, claimsAt, ISSUER, jwksOf, makeKey, sign } from '../support/token-issuer.ts';
import { ADMIN_KEY, type Fleets, startFleets } from './fleets.harness.ts';
import { age, FLEET_KEY, type Start } from './harness.ts';

const NOTHING = { active: false };

export function introspectCases(start: Start): void {
  describe('whose a credential is', () => {
    let cloud: Fleets;
    beforeEach(async () => {
      cloud = await startFleets(start);
    });
    afterEach(() => cloud.close());
    const asker = () => cloud.harness.keys.nodeCredential('leader');
    const ask = async (token: string, as?: string) => cloud.secured(as ?? (await asker()), 'POST /v1/introspect', { token });
    const issue = async (body: object) => (await cloud.as(FLEET_KEY, 'POST /v1/keys', { body })).body;

    it('is told to a node and to an operator of the same fleet, of credentials of nodes', async () => {
      const derived = await cloud.harness.keys.nodeCredential('a');
      const answer = await ask(derived);
      expect(answer).toMatchObject({ status: 200, body: { active: true, scope: 'node', node_id: 'a' } });
      expect(answer.body).not.toHaveProperty('expires_at');
      expect(answer.headers.get('cache-control')).toBe('no-store');
      expect((await ask(derived, FLEET_KEY)).body).toEqual(answer.body);
      const issued = await issue({ scope: 'node', node_id: 'b', expires_in_seconds: 60 });
      expect((await ask(issued.key)).body).toEqual({ active: true, scope: 'node', node_id: 'b', expires_at: issued.expires_at });
      const endless = await issue({ scope: 'node', node_id: 'c' });
      expect((await ask(endless.key)).body).toEqual({ active: true, scope: 'node', node_id: 'c' });
    });

    it('is told of nothing else: who does more than a node, or less, or is of another fleet, is nobody', async () => {
      const other = await cloud.makeFleet('shops');
      const derived = await cloud.harness.keys.nodeCredential('a');
      const tokens = [
        FLEET_KEY,
        ADMIN_KEY,
        other.key,
        await other.keys.nodeCredential('a'),
        await cloud.harness.keys.serviceToken('a', 'bell'),
        ...(await Promise.all(['viewer', 'operator', 'join'].map(async (scope) => (await issue({ scope })).key as string))),
        `${derived}x`,
        derived.replace('~a~', '~b~'),
        'bpi~default~nobody~secret',
        'bpf~default~a~mac',
        'e30.e30.e30',
        'garbage',
        'two words',
        'ümlaut',
        'x'.repeat(2000),
      ];
      for (const token of tokens) expect(await ask(token), token).toMatchObject({ status: 200, body: NOTHING });
      const theirs = await other.keys.nodeCredential('a');
      expect((await ask(derived, theirs)).body).toEqual(NOTHING);
      expect((await ask(derived, other.key)).body).toEqual(NOTHING);
      expect((await ask(theirs, theirs)).body).toMatchObject({ active: true, node_id: 'a' });
    });

    it('is no business of a viewer, of a join key, of a service, nor of somebody without a credential', async () => {
      const derived = await cloud.harness.keys.nodeCredential('a');
      for (const scope of ['viewer', 'join']) {
        const { key } = await issue({ scope });
        expect(await ask(derived, key), scope).toMatchObject({ status: 403, body: { code: 'forbidden' } });
      }
      expect((await ask(derived, await cloud.harness.keys.serviceToken('a', 'bell'))).status).toBe(403);
      expect((await ask(derived, 'garbage')).status).toBe(401);
    });

    it('follows a key that was revoked or has expired', async () => {
      const [short, revoked] = [
        await issue({ scope: 'node', node_id: 'a', expires_in_seconds: 60 }),
        await issue({ scope: 'node', node_id: 'a' }),
      ];
      for (const { key } of [short, revoked]) expect((await ask(key)).body.active).toBe(true);
      await cloud.as(FLEET_KEY, `DELETE /v1/keys/${revoked.key_id}`);
      await age(cloud.harness, 60_000);
      cloud.pass(60_000);
      for (const { key } of [short, revoked]) expect((await ask(key)).body).toEqual(NOTHING);
    });

    it('says when a credential ends that follows from a fleet key which is being replaced', async () => {
      const { key } = await cloud.makeFleet('shops');
      const before = (await deriveFleetKeys('shops', key)).nodeCredential('a');
      const rotated = (await cloud.as(key, 'POST /v1/fleets/shops/rotate', { body: { overlap_seconds: 3600 } })).body;
      const after = await (await deriveFleetKeys('shops', rotated.key)).nodeCredential('a');
      expect((await ask(await before, after)).body).toEqual({
        ...{ active: true, scope: 'node', node_id: 'a' },
        expires_at: rotated.replaces_until,
      });
      expect((await ask(after, after)).body).toEqual({ active: true, scope: 'node', node_id: 'a' });
    });

    it('is asked over https, of the Supervisor itself, in a body of some length', async () => {
      const send = async (origin: string, headers: Record<string, string> = {}, body: unknown = { token: 'x' }) => {
        const all = { authorization: `Bearer ${await asker()}`, 'content-type': 'application/json', ...headers };
        const request = new Request(`${origin}/v1/introspect`, { method: 'POST', headers: all, body: JSON.stringify(body) });
        const response = await cloud.harness.supervisor.fetch(request);
        return { status: response.status, ...((await response.json()) as object) };
      };
      expect(await send('http://192.0.2.7:7420')).toMatchObject({ status: 403, code: 'https_required' });
      expect(await send('http://127.0.0.1:7420')).toMatchObject({ status: 200, active: false });
      const passedOn = { [FORWARDED_HEADER]: PASSED_ON };
      expect(await send('https://cloud.example', passedOn)).toMatchObject({ status: 421, code: 'misdirected' });
      for (const token of ['', 'x'.repeat(9000)]) {
        const refused = await send('https://cloud.example', {}, { token });
        expect(refused).toMatchObject({ status: 400, code: 'invalid_body' });
        expect(JSON.stringify(refused)).not.toContain('xxx');
      }
    });

    it('leaves no credential in a log, in an event or in a message', async () => {
      const secrets = [
        await cloud.harness.keys.nodeCredential('a'),
        (await issue({ scope: 'node', node_id: 'b' })).key,
        'bpn~default~a~wrong',
      ];
      for (const token of secrets) await ask(token);
      const told = JSON.stringify([cloud.harness.emitted, (await cloud.as(FLEET_KEY, 'GET /v1/events')).body]);
      for (const secret of secrets) expect(told).not.toContain(secret);
    });

    it('is told of a JWT of a node, until it ends, and of no other JWT', async () => {
      const key = await makeKey('k', 'EdDSA');
      const NOW = Date.UTC(2026, 5, 1);
      const clock: Clock = { now: () => NOW, monotonic: () => NOW, trusted: () => true, sleep: () => new Promise(() => undefined) };
      const jwks = jwksOf(key);
      const source = createTextJwks({
        text: { name: 'the test', version: async () => jwks, read: async () => jwks },
        clock,
        log: recordingLog(),
      });
      const own = await deriveFleetKeys('default', FLEET_KEY);
      const fleets = { default_fleet: 'default', keysOf: async (fleet: string) => (fleet === 'default' ? own : undefined) };
      const tokens = createTokenVerifier({ keys: source, fleets, clock, issuer: ISSUER, audience: AUDIENCE });
      const harness = await start({ fleets, tokens });
      const tell = async (token: string) => {
        const headers = { authorization: `Bearer ${await own.nodeCredential('leader')}`, 'content-type': 'application/json' };
        const request = new Request('https://cloud.example/v1/introspect', { method: 'POST', headers, body: JSON.stringify({ token }) });
        return (await harness.supervisor.fetch(request)).json();
      };
      const jwt = (more: object) => sign(key, claimsAt(NOW, { ...more }));
      expect(await tell(await jwt({ sub: 'a' }))).toEqual({
        ...{ active: true, scope: 'node', node_id: 'a', expires_at: '2026-06-01T00:10:00.000Z' },
      });
      for (const more of [{ scope: 'operator' }, { fleet: 'other' }, { exp: NOW / 1000 - 3600 }, { aud: 'else' }]) {
        expect(await tell(await jwt(more)), JSON.stringify(more)).toEqual(NOTHING);
      }
      await harness.close();
    });
  });
}
