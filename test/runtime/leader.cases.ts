import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { age, call, type Harness, heartbeat, register, registration, type Start } from './harness.ts';

const url = (node_id: string) => `http://${node_id}.test:7420`;

export function leaderCases(start: Start): void {
  describe('leadership', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      for (const id of ['a', 'b']) await register(harness, id);
    });
    afterEach(() => harness.close());
    const claim = (node_id: string, more = {}, query = '') =>
      call(harness, `POST /v1/leader/claim${query}`, { body: { node_id, url: url(node_id), ...more } });

    it('grants a free site, and answers the loser with the leader', async () => {
      const won = await claim('a');
      expect(won).toMatchObject({ status: 200, body: { granted: true, node_id: 'a', leader_url: url('a'), epoch: 1 } });
      expect(won.body.expires_in_ms).toBeGreaterThan(14_000);
      expect(won.body.expires_in_ms).toBeLessThanOrEqual(15_000);
      expect(won.headers.get('bootplane-epoch')).toBe('1/a');
      expect(await claim('b')).toMatchObject({ status: 200, body: { granted: false, node_id: 'a', leader_url: url('a'), epoch: 1 } });
      expect((await call(harness, 'GET /v1/leader')).body).toMatchObject({
        node_id: 'a',
        leader_url: url('a'),
        epoch: 1,
        provisional: false,
      });
    });

    it('renews for the holder with its epoch, which stays, and moves the end', async () => {
      await claim('a');
      await age(harness, 10_000);
      const renewed = await claim('a', { epoch: 1 });
      expect(renewed.body).toMatchObject({ granted: true, epoch: 1 });
      expect(renewed.body.expires_in_ms).toBeGreaterThan(14_000);
    });

    it('raises the epoch when a lease lapsed, also for the holder before', async () => {
      await claim('a');
      await age(harness, 15_000);
      expect(await call(harness, 'GET /v1/leader')).toMatchObject({ status: 404, body: { code: 'no_leader' } });
      expect((await claim('a', { epoch: 1 })).body).toMatchObject({ granted: true, epoch: 2 });
      await age(harness, 15_000);
      expect((await claim('b')).body).toMatchObject({ granted: true, epoch: 3, node_id: 'b' });
      expect((await claim('a', { epoch: 2 })).body).toMatchObject({ granted: false, epoch: 3, node_id: 'b' });
    });

    it('lets a holder that restarted, and forgot its epoch, lead on under a higher one', async () => {
      await claim('a');
      expect((await claim('a')).body).toMatchObject({ granted: true, epoch: 2 });
      expect((await claim('a', { epoch: 1 })).body).toMatchObject({ granted: false, epoch: 2 });
    });

    it('gives the lease to no copy of its holder, at another address, until it lapses', async () => {
      await claim('a');
      const copy = { url: 'http://192.0.2.77:7420' };
      expect((await claim('a', copy)).body).toMatchObject({ granted: false, leader_url: url('a'), epoch: 1 });
      // A renewal takes the new address of a machine along.
      expect((await claim('a', { epoch: 1, ...copy })).body).toMatchObject({ granted: true, leader_url: copy.url, epoch: 1 });
      await age(harness, 15_000);
      expect((await claim('a')).body).toMatchObject({ granted: true, leader_url: url('a'), epoch: 2 });
    });

    it('gives it to the node itself that a Supervisor runs inside, whatever its address was', async () => {
      const own = await start({ self: SELF });
      onTestFinished(() => own.close());
      const claimAt = async (from: string) =>
        (await call(own, 'POST /v1/leader/claim', { as: await own.keys.nodeCredential('me'), body: { node_id: 'me', url: from } })).body;
      expect(await claimAt('http://192.0.2.1:7420')).toMatchObject({ granted: true, epoch: 1 });
      expect(await claimAt('http://192.0.2.2:7420')).toMatchObject({ granted: true, epoch: 2, leader_url: 'http://192.0.2.2:7420' });
    });

    it('grants above the highest epoch that the claimant has seen, and refuses a jump', async () => {
      expect((await claim('a', { epoch_seen: 41 })).body.epoch).toBe(42);
      expect((await claim('a', { epoch: 42, epoch_seen: 99 })).body.epoch).toBe(42);
      await age(harness, 15_000);
      expect(await claim('b', { epoch_seen: 1_000_043 })).toMatchObject({ status: 422, body: { code: 'epoch_jump' } });
      expect((await claim('b', { epoch_seen: 1_000_042 })).body).toMatchObject({ granted: true, epoch: 1_000_043 });
    });

    it('refuses a jump on a site that nobody has led', async () => {
      expect(await claim('a', { epoch_seen: 1_000_001 })).toMatchObject({ status: 422, body: { code: 'epoch_jump' } });
      expect(await call(harness, 'GET /v1/leader')).toMatchObject({ status: 404 });
    });

    it('keeps sites apart', async () => {
      expect((await claim('a')).body.epoch).toBe(1);
      expect((await claim('b', {}, '?site=shop-2')).body).toMatchObject({ granted: true, epoch: 1, node_id: 'b' });
      expect((await call(harness, 'GET /v1/leader?site=shop-2')).body.node_id).toBe('b');
    });

    it.each([
      ['POST /v1/nodes/register', registration('b')],
      ['POST /v1/nodes/plan', { node_id: 'b' }],
      ['POST /v1/nodes/leave', { node_id: 'b' }],
      ['POST /v1/leader/claim', { node_id: 'b', url: url('b') }],
    ])('does not fence %s: through it a node comes back from a leader that was replaced', async (request, body) => {
      await claim('a', { epoch_seen: 6 });
      expect((await call(harness, request, { body, headers: { 'bootplane-epoch': '1/b' } })).status).toBeLessThan(300);
    });

    it('has one winner among concurrent claims', async () => {
      for (let index = 0; index < 20; index += 1) await register(harness, `n${index}`);
      const replies = await Promise.all(Array.from({ length: 20 }, (_, index) => claim(`n${index}`)));
      const granted = replies.filter(({ body }) => body.granted);
      expect(granted).toHaveLength(1);
      expect(new Set(replies.map(({ body }) => `${body.epoch}/${body.node_id}`))).toEqual(new Set([`1/${granted[0]?.body.node_id}`]));
    });

    it('wants a registered claimant from an operator; a node itself may claim before it registers', async () => {
      expect(await claim('stranger')).toMatchObject({ status: 404, body: { code: 'unknown_node' } });
      const body = { node_id: 'stranger', url: url('stranger') };
      const own = await call(harness, 'POST /v1/leader/claim', { as: await harness.keys.nodeCredential('stranger'), body });
      expect(own.body).toMatchObject({ granted: true, epoch: 1 });
    });

    it('releases for the holder at its epoch only; the next one gets a higher epoch at once', async () => {
      const release = (node_id: string, epoch: number) => call(harness, 'POST /v1/leader/release', { body: { node_id, epoch } });
      await claim('a');
      expect(await release('b', 1)).toMatchObject({ status: 409, body: { code: 'stale_epoch', leader: { node_id: 'a', epoch: 1 } } });
      expect(await release('a', 2)).toMatchObject({ status: 409, body: { code: 'stale_epoch' } });
      expect((await release('a', 1)).status).toBe(204);
      expect(await release('a', 1)).toMatchObject({ status: 409 });
      expect(await call(harness, 'GET /v1/leader')).toMatchObject({ status: 404 });
      expect((await claim('b')).body).toMatchObject({ granted: true, epoch: 2 });
    });

    it('writes an event when the lease changes hands, and none for a renewal or a lost race', async () => {
      await claim('a');
      await claim('a', { epoch: 1 });
      await claim('b');
      await age(harness, 15_000);
      await claim('b');
      const { events } = (await call(harness, 'GET /v1/events')).body;
      const leaders = events.filter(({ type }: { type: string }) => type === 'overlay.leader');
      expect(leaders).toMatchObject([
        { node_id: 'a', site: 'default', data: { epoch: 1, leader_url: url('a') } },
        { node_id: 'b', data: { epoch: 2, leader_url: url('b') } },
      ]);
      expect(harness.emitted.filter(({ topic }) => topic === 'overlay.leader').map(({ body }) => body)).toMatchObject([
        { node_id: 'a', epoch: 1 },
        { node_id: 'b', epoch: 2 },
      ]);
    });
  });

  fencingCases(start);
  hintCases(start);
  proofCases(start);
}

function fencingCases(start: Start): void {
  describe('fencing', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start();
      await register(harness, 'a');
      await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: url('a'), epoch_seen: 6 } });
    });
    afterEach(() => harness.close());
    const beat = (token: string) =>
      call(harness, 'POST /v1/nodes/heartbeat', {
        body: heartbeat('a', { metrics: { token: token.length } }),
        headers: { 'bootplane-epoch': token },
      });

    it('takes the token that is current, and a later one, which is only a hint', async () => {
      expect((await beat('7/a')).status).toBe(204);
      expect((await beat('9/other')).status).toBe(204);
      expect((await beat('7/a')).headers.get('bootplane-epoch')).toBe('7/a');
    });

    it.each(['6/a', '7/other'])('refuses %s with the leader, and changes nothing', async (token) => {
      const reply = await beat(token);
      expect(reply).toMatchObject({ status: 409, body: { code: 'stale_epoch', leader: { node_id: 'a', epoch: 7, leader_url: url('a') } } });
      expect((await call(harness, 'GET /v1/nodes/a')).body.metrics).toBeUndefined();
    });

    it.each(['7', 'a/7', '-1/a', '7/', '7/a b'])('answers a malformed token (%s) with bad_request', async (token) => {
      expect(await beat(token)).toMatchObject({ status: 400, body: { code: 'bad_request' } });
    });
  });
}

/** What a Supervisor asks of its node, where it does not matter. */
const SELF = {
  node_id: 'me',
  instance_id: 'boot-1',
  origins: () => [],
  provisional: () => false,
  confirmed: () => false,
  leadership: () => ({ leads: true, epoch_seen: 7, eligible: true }),
  hear: () => undefined,
};

function hintCases(start: Start): void {
  it('a Supervisor tells its node of a later leader that a heartbeat follows, and of no other', async () => {
    const hints: unknown[] = [];
    const harness = await start({ self: { ...SELF, onHigherToken: (token) => hints.push(token) } });
    await register(harness, 'a');
    await call(harness, 'POST /v1/leader/claim', { body: { node_id: 'a', url: url('a'), epoch_seen: 6 } });
    for (const token of ['7/a', '9/other']) {
      const reply = await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a'), headers: { 'bootplane-epoch': token } });
      expect(reply.status).toBe(204);
    }
    expect(hints).toEqual([{ epoch: 9, node_id: 'other' }]);
    await harness.close();
  });
}

function proofCases(start: Start): void {
  const origin = 'http://192.0.2.9:7420';
  const challenge = 'a-nonce-of-sixteen-or-more';
  const heard: unknown[] = [];
  const leadership = {
    leads: true,
    epoch_seen: 4,
    eligible: true,
    follows: { node_id: 'b', leader_url: 'http://192.0.2.10:7420', epoch: 4 },
  };
  const self = {
    node_id: 'me',
    instance_id: 'boot-1',
    origins: () => [origin],
    provisional: () => true,
    confirmed: () => false,
    leadership: () => leadership,
    hear: (advert: unknown) => void heard.push(advert),
  };
  const ask = (harness: Harness, parameters: Record<string, string>, as: string | null = null) =>
    call(harness, `GET /v1/leader?${new URLSearchParams(parameters)}`, { as });

  describe('leader proof', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start({ self });
    });
    afterEach(() => harness.close());
    const me = { node_id: 'me', instance_id: 'boot-1', epoch_seen: 4, eligible: true };
    const signed = { purpose: 'leader-proof', challenge, fleet: 'default', site: 'default', origin, ...me };
    const nobody = { leader_node_id: null, leader_url: null, epoch: null, provisional: null, confirmed: null, nodes_heard: null };
    const leads = { leader_node_id: 'me', leader_url: origin, epoch: 1, provisional: true, confirmed: false, nodes_heard: 0 };

    it('is given without a credential, with no_leader too', async () => {
      const { status, body } = await ask(harness, { challenge, origin, fleet: 'default' });
      expect([status, body.code, body.proved_by, body.proved_by_instance]).toEqual([404, 'no_leader', 'me', 'boot-1']);
      expect(await harness.keys.verifyHint({ ...signed, ...nobody }, body.proof)).toBe(true);
    });

    it('covers who leads and at which epoch', async () => {
      await call(harness, 'POST /v1/leader/claim', { as: await harness.keys.nodeCredential('me'), body: { node_id: 'me', url: origin } });
      const { status, body } = await ask(harness, { challenge, origin, fleet: 'default' });
      expect([status, body.node_id, body.provisional]).toEqual([200, 'me', true]);
      expect(await harness.keys.verifyHint({ ...signed, ...leads }, body.proof)).toBe(true);
      for (const forged of [{ epoch: 2 }, { nodes_heard: 9 }, { confirmed: true }, { leader_url: 'http://192.0.2.66:7420' }]) {
        expect(await harness.keys.verifyHint({ ...signed, ...leads, ...forged }, body.proof)).toBe(false);
      }
    });

    it('covers how many nodes of the site were heard within a TTL', async () => {
      for (const node_id of ['me', 'other']) await register(harness, node_id);
      await call(harness, 'POST /v1/leader/claim', { as: await harness.keys.nodeCredential('me'), body: { node_id: 'me', url: origin } });
      const { body } = await ask(harness, { challenge, origin, fleet: 'default' });
      expect(body.nodes_heard).toBe(2);
      expect(await harness.keys.verifyHint({ ...signed, ...leads, nodes_heard: 2 }, body.proof)).toBe(true);
    });

    it('points at whom the node follows, and hands on the advert that came along', async () => {
      const { body } = await ask(harness, { challenge, origin, fleet: 'default', advert: '{"url":"http://192.0.2.11:7420"}' });
      expect(body.leader).toEqual(leadership.follows);
      expect(heard).toEqual([{ url: 'http://192.0.2.11:7420' }]);
    });

    it('does not call a lease that an earlier boot left behind a leader', async () => {
      const restarted = await start({ self: { ...self, leadership: () => ({ ...leadership, leads: false }) } });
      onTestFinished(() => restarted.close());
      await call(restarted, 'POST /v1/leader/claim', {
        as: await restarted.keys.nodeCredential('me'),
        body: { node_id: 'me', url: origin },
      });
      const { status, body } = await ask(restarted, { challenge, origin, fleet: 'default' });
      expect([status, body.code]).toEqual([404, 'no_leader']);
    });

    it('is refused for an origin that is not its own, for another fleet, and without a challenge', async () => {
      expect(await ask(harness, { challenge, fleet: 'default', origin: 'http://192.0.2.10:7420' })).toMatchObject({ status: 401 });
      expect(await ask(harness, { challenge, fleet: 'another', origin })).toMatchObject({ status: 401 });
      expect(await ask(harness, {})).toMatchObject({ status: 401 });
      expect(await ask(harness, { challenge, fleet: 'default' })).toMatchObject({ status: 400, body: { code: 'invalid_parameter' } });
    });
  });

  it('a Supervisor that is no node gives no proof, and wants a credential for a challenge', async () => {
    const harness = await start();
    expect(await ask(harness, { challenge, origin, fleet: 'default' })).toMatchObject({ status: 401 });
    const { status, body } = await ask(harness, { challenge, origin, fleet: 'default' }, await harness.keys.nodeCredential('a'));
    expect([status, body.code, body.proof]).toEqual([404, 'no_leader', undefined]);
    await harness.close();
  });
}
