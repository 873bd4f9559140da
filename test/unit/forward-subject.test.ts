import { afterEach, describe, expect, it } from 'vitest';
import {
  FORWARDED_HEADER,
  formatForwarded,
  forwardNonce,
  parseForwardCredential,
  parseForwarded,
  signForward,
  signSubject,
  verifyForward,
} from '../../shared/contract/forward.ts';
import type { FleetCaller } from '../../shared/supervisor/auth.ts';
import { createReplayMemory } from '../../shared/supervisor/replay-memory.ts';
import { type FrontDoor, startFrontDoor } from './front-door.harness.ts';

const SUBJECT = 'Jané, of operations=west 🙂';
let node: FrontDoor | undefined;
afterEach(async () => {
  await node?.close();
  node = undefined;
});

/** A node that follows, asked by who shows it a JWT. */
async function asked(): Promise<FrontDoor> {
  const late: { caller?: FleetCaller } = {};
  node = await startFrontDoor({ authenticate: () => late.caller });
  late.caller = { fleet: 'default', keys: node.own.keys, scope: 'operator', subject: SUBJECT };
  return node;
}

const publish = { method: 'PUT', body: '{"services":[]}', headers: { 'if-match': '"0"' } };

describe('the holder of a JWT at a node that follows', () => {
  it('is named by the leader in what it publishes and issues, and makes no key without an end', async () => {
    const { call } = await asked();
    expect((await call('PUT /v1/cluster/plan', publish)).status).toBe(200);
    expect((await (await call('GET /v1/cluster/plan')).json()).published_by).toBe(`jwt ${SUBJECT}`);
    const create = (body: object) => call('POST /v1/keys', { method: 'POST', body: JSON.stringify(body) });
    expect((await create({ scope: 'viewer' })).status).toBe(403);
    expect(await (await create({ scope: 'viewer', expires_in_seconds: 60 })).json()).toMatchObject({ created_by: `jwt ${SUBJECT}` });
  });

  it.each([
    ['left out', (text: string) => text.replace(/subject=[^,]*, subject_mac=[^,]*, /, '')],
    ['replaced', (text: string) => text.replace(/subject=[^,]*/, 'subject=amFuZQ')],
    ['no subject', (text: string) => text.replace(/subject=[^,]*/, 'subject=Cg')],
    ['not signed', (text: string) => text.replace(/subject_mac=[^,]*, /, '')],
  ])(
    'is nobody where the name is %s on the way: nothing is done',
    async (_what, spoil) => {
      const { call, leader } = await asked();
      if (node !== undefined) {
        node.wire = (request, go) => {
          const headers = new Headers(request.headers);
          const text = headers.get(FORWARDED_HEADER) ?? '';
          expect(spoil(text)).not.toBe(text);
          headers.set(FORWARDED_HEADER, spoil(text));
          return go(new Request(request, { headers }));
        };
      }
      expect((await call('PUT /v1/cluster/plan', publish)).status).toBe(503);
      const plan = await leader.fetch('/v1/cluster/plan', {
        headers: { authorization: `Bearer ${await leader.keys.nodeCredential('b')}` },
      });
      expect(plan.status).toBe(404);
    },
    20_000,
  );
});

describe('a request that names a subject', () => {
  const request = { method: 'GET', path: '/v1/nodes', if_match: null };

  it('is to a leader of before one that names none: what that one checks is the same', async () => {
    const { keys } = (await asked()).own;
    const who = { scope: 'operator', subject: SUBJECT } as const;
    const nonce = forwardNonce('0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee', 12, who);
    const claims = await signSubject(keys, 'me', { ...who, to: 'http://b', epoch: 3, nonce });
    const before = { scope: 'operator', to: 'http://b', epoch: 3, nonce } as const;
    expect(await signForward(keys, 'me', claims, request)).toBe(await signForward(keys, 'me', before, request));
    expect(createReplayMemory().take(3, nonce)).toBe(true);
    expect(parseForwarded(formatForwarded(claims))).toEqual(claims);
  });

  it('and one of a node of before, which names none, are both taken', async () => {
    const { keys } = (await asked()).own;
    const before = { scope: 'operator', to: 'http://b', epoch: 3, nonce: 'boot-me.1' } as const;
    const credential = parseForwardCredential(await signForward(keys, 'me', before, request)) ?? expect.fail();
    expect(await verifyForward(keys, credential, before, request)).toBe(true);
    expect(await verifyForward(keys, credential, { ...before, subject: 'jane' }, request)).toBe(false);
  });
});
