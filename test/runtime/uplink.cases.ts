import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_UPLINK_ITEMS, type UplinkEvent, type UplinkNode } from '../../shared/contract/uplink.ts';
import { bootstrapEvent } from './events.cases.ts';
import { age, call, type Harness, heartbeat, type Reply, register, registration, SELF, type Start } from './harness.ts';

const url = (node_id: string) => `http://${node_id}.test:7420`;
const HASH = 'a'.repeat(64);

export function uplinkNode(node_id: string, more: Partial<UplinkNode> = {}): UplinkNode {
  const { host, ip, versions, capabilities } = registration(node_id);
  return { node_id, role: 'worker', host, ip, versions, capabilities, services_running: [], registered_ms: 0, ...more };
}

export const uplinkEvent = (cursor: number, more: Partial<UplinkEvent> = {}): UplinkEvent => ({
  cursor: String(cursor),
  type: 'overlay.register',
  node_id: 'a',
  at: '2026-01-01T00:00:00.000Z',
  age_ms: 1000,
  data: { host: 'a.test' },
  ...more,
});

const component = (more: Record<string, unknown> = {}) => ({
  status: 'applied' as const,
  action: 'reconcile',
  generation: 3,
  hash: HASH,
  attempt: 1,
  duration_ms: 5,
  incompatible: [],
  age_ms: 100,
  ...more,
});

/** A leader's calls, as its own node. */
function leaderOf(harness: Harness, node_id = 'a', site = 'default') {
  const as = () => harness.keys.nodeCredential(node_id);
  return {
    claim: async (more: Record<string, unknown> = {}): Promise<Reply> =>
      call(harness, `POST /v1/leader/claim?site=${site}`, { as: await as(), body: { node_id, url: url(node_id), ...more } }),
    send: async (body: Record<string, unknown>): Promise<Reply> =>
      call(harness, 'POST /v1/sites/uplink', {
        as: await as(),
        body: { node_id, url: url(node_id), site, epoch: 1, session: 's1', ...body },
      }),
  };
}

async function livenessAt(harness: Harness): Promise<Record<string, string>> {
  const { nodes } = (await call(harness, 'GET /v1/nodes')).body;
  return Object.fromEntries(nodes.map((one: { node_id: string; liveness: string }) => [one.node_id, one.liveness]));
}

export function uplinkCases(start: Start): void {
  describe('the uplink of a site', () => {
    let harness: Harness;
    let a: ReturnType<typeof leaderOf>;
    beforeEach(async () => {
      harness = await start();
      a = leaderOf(harness);
      await a.claim();
    });
    afterEach(() => harness.close());
    const rows = async (sql: string) => (await harness.database.batch([{ sql, params: [] }]))[0] ?? [];
    const begin = (more: Record<string, unknown> = {}) =>
      a.send({ seq: 1, full: true, nodes: [uplinkNode('a', { role: 'leader' }), uplinkNode('b'), uplinkNode('c')], ...more });

    uplinkLeaseCases(() => ({ harness, a, begin }));
    uplinkNodeCases(() => ({ harness, a, begin }));
    uplinkEventCases(() => ({ harness, a, begin }));

    it('changes nothing twice, and only the lease when nothing has changed', async () => {
      const nodes = [uplinkNode('a'), uplinkNode('b', { components: { storage: component() } })];
      const events = [uplinkEvent(1), uplinkEvent(2)];
      const all = ['nodes', 'component_status', 'events'] as const;
      const dump = async () => Promise.all(all.map((table) => rows(`select * from ${table}`)));
      await begin({ nodes, events });
      const before = await dump();
      await age(harness, 0);
      expect((await begin({ nodes, events })).body).toMatchObject({ granted: true, acked: 1 });
      expect((await a.send({ seq: 2 })).body).toMatchObject({ granted: true, acked: 2 });
      expect((await a.send({ seq: 2 })).body).toMatchObject({ granted: true, acked: 2 });
      expect(await dump()).toEqual(before);
    });
  });

  ownPageCases(start);
}

type World = () => {
  harness: Harness;
  a: ReturnType<typeof leaderOf>;
  begin: (more?: Record<string, unknown>) => Promise<Reply>;
};

function uplinkLeaseCases(world: World): void {
  it('renews the lease, with the headers of a claim', async () => {
    const { harness, begin } = world();
    await age(harness, 10_000);
    const reply = await begin();
    expect(reply).toMatchObject({ status: 200, body: { granted: true, node_id: 'a', leader_url: url('a'), epoch: 1, acked: 1 } });
    expect(reply.body.expires_in_ms).toBeGreaterThan(14_000);
    expect(reply.body.expires_in_ms).toBeLessThanOrEqual(15_000);
    expect(reply.headers.get('bootplane-epoch')).toBe('1/a');
    expect(reply.headers.get('bootplane-desired')).toBe('');
    expect((await call(harness, 'GET /v1/leader')).body).toMatchObject({ node_id: 'a', epoch: 1, nodes_heard: 3 });
  });

  it('of a leader that has lost the lease changes nothing, and the answer says to whom', async () => {
    const { harness, a, begin } = world();
    await begin();
    await age(harness, 16_000);
    await leaderOf(harness, 'b').claim();
    const late = await a.send({ seq: 2, nodes: [uplinkNode('d')], gone: ['c'], events: [uplinkEvent(9)] });
    expect(late).toMatchObject({ status: 200, body: { granted: false, node_id: 'b', leader_url: url('b'), epoch: 2 } });
    expect(late.body).not.toHaveProperty('acked');
    expect((await begin({ session: 's2' })).body).toMatchObject({ granted: false, epoch: 2 });
    expect(await livenessAt(harness)).toEqual({ a: 'late', b: 'late', c: 'late' });
    const { events } = (await call(harness, 'GET /v1/events')).body;
    expect(events.map(({ type }: { type: string }) => type)).toEqual(['overlay.leader', 'overlay.leader']);
  });

  it('that comes after the lease has lapsed claims it anew, at a higher epoch, and has to begin again', async () => {
    const { harness, a, begin } = world();
    await begin();
    await age(harness, 16_000);
    expect((await a.send({ seq: 2, nodes: [uplinkNode('d')] })).body).toMatchObject({ granted: true, epoch: 2, resync: true });
    expect(await livenessAt(harness)).not.toHaveProperty('d');
    expect((await a.send({ epoch: 2, session: 's2', seq: 1, full: true, nodes: [uplinkNode('d')] })).body).toMatchObject({ acked: 1 });
    expect(await livenessAt(harness)).toMatchObject({ d: 'online' });
  });

  it('after its sender gave the lease back does not take it again', async () => {
    const { harness, a, begin } = world();
    await begin();
    await call(harness, 'POST /v1/leader/release', { body: { node_id: 'a', epoch: 1 } });
    expect((await a.send({ seq: 2 })).body).toMatchObject({ granted: false, node_id: 'a', epoch: 1, expires_in_ms: 0 });
    expect((await call(harness, 'GET /v1/leader')).status).toBe(404);
  });

  it('needs the sender to be who it says, and to lead that very site', async () => {
    const { harness, a } = world();
    const as = await harness.keys.nodeCredential('b');
    const body = { node_id: 'a', url: url('a'), epoch: 1, session: 's', seq: 1, full: true };
    expect(await call(harness, 'POST /v1/sites/uplink', { as, body })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    await leaderOf(harness, 'b', 'shop-2').claim();
    expect((await a.send({ site: 'shop-2', seq: 1, full: true, nodes: [uplinkNode('x')] })).body).toMatchObject({
      granted: false,
      node_id: 'b',
    });
    expect(await livenessAt(harness)).toEqual({});
  });

  it.each([
    ['a session that is not known here', { session: 's9', seq: 4 }],
    ['a call that comes after one that was missed', { seq: 3 }],
    ['a call from before', { seq: 1, session: 's0' }],
  ])('renews for %s, takes nothing of it, and asks for all of it', async (_name, more) => {
    const { harness, a, begin } = world();
    await begin();
    await age(harness, 5_000);
    const reply = await a.send({ nodes: [uplinkNode('d')], gone: ['c'], events: [uplinkEvent(1)], ...more });
    expect(reply.body).toMatchObject({ granted: true, epoch: 1, resync: true });
    expect(reply.body).not.toHaveProperty('acked');
    expect(reply.body.expires_in_ms).toBeGreaterThan(14_000);
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'online', c: 'online' });
    expect((await a.send({ seq: 2 })).body).toMatchObject({ acked: 2 });
  });

  it.each([
    ['a node that is none', { nodes: [{ ...uplinkNode('a'), ip: 'here' }] }, '/nodes/0/ip'],
    ['an event without a type', { events: [uplinkEvent(1), { ...uplinkEvent(2), type: '' }] }, '/events/1/type'],
    ['too much at once', { gone: Array.from({ length: MAX_UPLINK_ITEMS + 1 }, (_, index) => `n${index}`) }, '/gone'],
    ['no number', { seq: 0 }, '/seq'],
  ])('with %s is refused, with where it is', async (_name, more, pointer) => {
    const { begin } = world();
    const reply = await begin(more);
    expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
    expect(reply.body.errors[0].pointer).toBe(pointer);
  });
}

function uplinkNodeCases(world: World): void {
  const node = async (node_id: string) => (await call(world().harness, `GET /v1/nodes/${node_id}`)).body;

  it('shows every node of the site with what its leader says of it', async () => {
    const { harness, begin } = world();
    const service = { name: 'api', version: '1.4.2', state: 'running' as const };
    const b = uplinkNode('b', {
      instance_id: 'i1',
      role: 'proxy',
      url: url('b'),
      lead: false,
      capabilities: ['camera'],
      devices: [{ id: 'cam-1', kind: 'camera' }],
      services_running: [service],
      registered_ms: 60_000,
      components: { storage: component({ message: 'made 1 bucket' }), services: component({ status: 'failed' }) },
    });
    await begin({ nodes: [uplinkNode('a', { role: 'leader' }), b] });
    const { components: _, registered_ms: __, ...told } = b;
    expect(await node('b')).toMatchObject({ ...told, site: 'default', liveness: 'online' });
    expect((await call(harness, 'GET /v1/devices')).body.devices).toMatchObject([{ id: 'cam-1', node_id: 'b', liveness: 'online' }]);
    expect((await call(harness, 'GET /v1/state')).body).toMatchObject({
      nodes: { online: 2, late: 0, lost: 0, left: 0 },
      services: [{ name: 'api', running: 1, nodes: ['b'] }],
      components: { storage: { applied: 1 }, services: { failed: 1 } },
      devices: 1,
    });
    expect((await call(harness, 'GET /v1/bootstrap/status?node_id=b')).body).toMatchObject({
      components: { storage: { status: 'applied', generation: 3, message: 'made 1 bucket' }, services: { status: 'failed' } },
      last_generation: 3,
    });
  });

  it('keeps nodes alive that it does not name; they become late and lost together when it falls silent', async () => {
    const { harness, a, begin } = world();
    await begin();
    for (let seq = 2; seq < 12; seq += 1) {
      await age(harness, 5_000);
      expect((await a.send({ seq })).body).toMatchObject({ acked: seq });
    }
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'online', c: 'online' });
    expect((await call(harness, 'GET /v1/state')).body.nodes).toMatchObject({ online: 3 });
    await age(harness, 16_000);
    expect(await livenessAt(harness)).toEqual({ a: 'late', b: 'late', c: 'late' });
    expect((await call(harness, 'GET /v1/state')).body.nodes).toMatchObject({ online: 0, late: 3 });
    await age(harness, 30_000);
    expect(await livenessAt(harness)).toEqual({ a: 'lost', b: 'lost', c: 'lost' });
  });

  it('of a new leader speaks for whom it names; the others were last heard with the leader before', async () => {
    const { harness, a, begin } = world();
    await begin();
    await age(harness, 5_000);
    await a.send({ seq: 2 });
    await age(harness, 10_000);
    await call(harness, 'POST /v1/leader/release', { body: { node_id: 'a', epoch: 1 } });
    const b = leaderOf(harness, 'b');
    await b.claim();
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'online', c: 'online' });
    await b.send({ epoch: 2, session: 's2', seq: 1, full: true, nodes: [uplinkNode('b', { role: 'leader' })] });
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'online', c: 'online' });
    await age(harness, 6_000);
    expect(await livenessAt(harness)).toEqual({ a: 'late', b: 'online', c: 'late' });
    await b.send({ epoch: 2, session: 's2', seq: 2, nodes: [uplinkNode('c')] });
    expect(await livenessAt(harness)).toEqual({ a: 'late', b: 'online', c: 'online' });
  });

  it('a node that its leader does not hear ages by itself, and comes back with one word', async () => {
    const { harness, a, begin } = world();
    await begin();
    await a.send({ seq: 2, nodes: [uplinkNode('b', { silent_ms: 16_000 })] });
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'late', c: 'online' });
    for (const seq of [3, 4, 5]) {
      await age(harness, 10_000);
      await a.send({ seq });
    }
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'lost', c: 'online' });
    await a.send({ seq: 6, nodes: [uplinkNode('b')] });
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'online', c: 'online' });
  });

  it('a node that left has left, until it registers again', async () => {
    const { harness, a, begin } = world();
    await begin();
    await a.send({ seq: 2, gone: ['c', 'nobody'] });
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'online', c: 'left' });
    await a.send({ seq: 3, nodes: [uplinkNode('c')] });
    expect(await livenessAt(harness)).toMatchObject({ c: 'online' });
  });

  it('a node that talks to the cloud itself is heard by itself, whatever its leader still believes', async () => {
    const { harness, a, begin } = world();
    await begin({ nodes: [uplinkNode('a'), uplinkNode('b', { registered_ms: 60_000 })] });
    await register(harness, 'b', { capabilities: ['direct'] });
    await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('b') });
    for (const seq of [2, 3]) {
      await age(harness, 8_000);
      await a.send({ seq });
    }
    await a.send({ seq: 4, nodes: [uplinkNode('b', { registered_ms: 76_000, silent_ms: 16_000 })], gone: ['b'] });
    expect(await livenessAt(harness)).toEqual({ a: 'online', b: 'late' });
    await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('b') });
    await a.send({ seq: 5, nodes: [uplinkNode('b', { registered_ms: 76_000 })] });
    expect(await node('b')).toMatchObject({ liveness: 'online', capabilities: ['direct'] });
    await age(harness, 1_000);
    await a.send({ seq: 6, nodes: [uplinkNode('b')] });
    expect(await node('b')).toMatchObject({ liveness: 'online', capabilities: [] });
    for (const seq of [7, 8, 9, 10]) {
      await age(harness, 5_000);
      await a.send({ seq });
    }
    expect(await node('b')).toMatchObject({ liveness: 'online' });
  });

  it('of a leader whose copy talks to the cloud renews the lease and says so, and shows that leader again when the copy is silent', async () => {
    const { harness, a, begin } = world();
    const nodes = [uplinkNode('a', { instance_id: 'first' })];
    await begin({ nodes, instance_id: 'first' });
    const copy = { instance_id: 'copy', host: 'copy.test' };
    await register(harness, 'a', copy);
    expect((await a.send({ seq: 2, instance_id: 'first' })).body).not.toHaveProperty('duplicate');
    for (const seq of [3, 4]) {
      await age(harness, 8_000);
      await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat('a', { instance_id: 'copy' }) });
      const { body } = await a.send({ seq, instance_id: 'first' });
      expect(body).toMatchObject({ granted: true, acked: seq });
      if (seq === 4) expect(body.duplicate).toContain('also runs on copy.test');
    }
    for (const seq of [5, 6]) {
      await age(harness, 8_000);
      const { body } = await a.send({ seq, instance_id: 'first' });
      if (seq === 6) expect(body).toMatchObject({ resync: true });
    }
    await begin({ session: 's2', nodes, instance_id: 'first' });
    expect(await node('a')).toMatchObject({ instance_id: 'first', host: 'a.test', liveness: 'online' });
    expect((await a.send({ session: 's2', seq: 2, instance_id: 'first' })).body).not.toHaveProperty('resync');
    const { events } = (await call(harness, 'GET /v1/events')).body;
    expect(events.filter(({ type }: { type: string }) => type === 'overlay.refused')).toHaveLength(1);
  });

  it('a node that left by its own word is not brought back by a leader that has not heard of it', async () => {
    const { harness, a, begin } = world();
    await begin({ nodes: [uplinkNode('a'), uplinkNode('b', { registered_ms: 60_000 })] });
    await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'b' } });
    await a.send({ seq: 2, nodes: [uplinkNode('b', { registered_ms: 60_000, role: 'proxy' })] });
    expect(await node('b')).toMatchObject({ liveness: 'left' });
  });

  it('a node that moved to another site is of the site where it registered last', async () => {
    const { harness, a, begin } = world();
    await begin({ nodes: [uplinkNode('a'), uplinkNode('b', { registered_ms: 60_000 })] });
    const far = leaderOf(harness, 'far', 'shop-2');
    await far.claim();
    await far.send({ seq: 1, full: true, nodes: [uplinkNode('far'), uplinkNode('b', { registered_ms: 1_000 })] });
    expect(await node('b')).toMatchObject({ site: 'shop-2' });
    await a.send({ seq: 2, nodes: [uplinkNode('b', { registered_ms: 60_000, role: 'proxy' })], gone: ['b'] });
    await a.send({ session: 's2', seq: 1, full: true, nodes: [uplinkNode('a'), uplinkNode('b', { registered_ms: 60_000 })] });
    expect(await node('b')).toMatchObject({ site: 'shop-2', liveness: 'online', role: 'worker' });
  });

  it('places services for a node that has only the cloud by whom the leader speaks for', async () => {
    const { harness, begin } = world();
    const service = { name: 'api', version: '1', command: ['run'], placement: { count: 1 } };
    await call(harness, 'PUT /v1/cluster/plan', { body: { services: [service] }, headers: { 'if-match': '"0"' } });
    await age(harness, 3_600_000);
    await a_isLeader(harness);
    await begin({ epoch: 2, nodes: [uplinkNode('a', { services_running: [{ name: 'api', version: '1', state: 'running' }] })] });
    await register(harness, 'b');
    const { body } = await call(harness, 'POST /v1/nodes/plan', { body: { node_id: 'b' } });
    expect(body.services).toEqual([]);
  });

  it('a status that a node told the cloud itself since is not replaced by an older one', async () => {
    const { harness, a, begin } = world();
    await begin({ nodes: [uplinkNode('b', { components: { storage: component({ generation: 1, age_ms: 90_000 }) } })] });
    await register(harness, 'b');
    await call(harness, 'POST /v1/bootstrap/events', { body: { ...bootstrapEvent('b'), component: 'storage', generation: 9 } });
    await age(harness, 1_000);
    await a.send({
      seq: 2,
      nodes: [uplinkNode('b', { registered_ms: 0, components: { storage: component({ generation: 2, age_ms: 60_000 }) } })],
    });
    const status = async () => (await call(harness, 'GET /v1/bootstrap/status?node_id=b')).body.components.storage.generation;
    expect(await status()).toBe(9);
    await a.send({ seq: 3, nodes: [uplinkNode('b', { components: { storage: component({ generation: 10, age_ms: 0 }) } })] });
    expect(await status()).toBe(10);
  });
}

const a_isLeader = (harness: Harness) => leaderOf(harness).claim({ epoch: 1 });

function uplinkEventCases(world: World): void {
  const events = async () => {
    const { body } = await call(world().harness, 'GET /v1/events');
    return body.events.filter(({ type }: { type: string }) => type !== 'overlay.leader');
  };

  it('brings the events of the site into the log, each once, whoever else has told of them', async () => {
    const { harness, a, begin } = world();
    const report = { ...bootstrapEvent('b'), idempotency_key: HASH, attempt: 1 };
    const { node_id, ...data } = report;
    const ofReport = uplinkEvent(8, { type: 'overlay.bootstrap', node_id, data });
    await begin({ events: [uplinkEvent(7), ofReport] });
    await a.send({ seq: 2, events: [uplinkEvent(7), ofReport, uplinkEvent(9, { type: 'overlay.leave' })] });
    await call(harness, 'POST /v1/bootstrap/events', { body: report });
    expect(await events()).toMatchObject([
      { type: 'overlay.register', node_id: 'a', site: 'default', data: { host: 'a.test' } },
      { type: 'overlay.bootstrap', node_id: 'b', data: { component: report.component, idempotency_key: HASH } },
      { type: 'overlay.leave' },
    ]);
    expect(harness.emitted.filter(({ topic }) => topic === 'overlay.bootstrap')).toHaveLength(1);
  });

  it('knows a log that was made anew by the time of its events', async () => {
    const { a, begin } = world();
    await begin({ events: [uplinkEvent(1)] });
    await a.send({ seq: 2, events: [uplinkEvent(1, { at: '2026-02-02T00:00:00.000Z' })] });
    expect(await events()).toHaveLength(2);
  });

  it('says nothing of keys and documents, which are not made at a site, nor what only a newer leader knows; all else counts', async () => {
    const { a, begin, harness } = world();
    const types = ['overlay.key', 'overlay.plan', 'overlay.conflict', 'overlay.uplink', 'overlay.of-tomorrow', 'overlay.leave'];
    await begin();
    const events = types.map((type, index) => uplinkEvent(index + 1, { type, data: { by: 'fleet-key' } }));
    expect((await a.send({ seq: 2, events })).body).toMatchObject({ granted: true, acked: 2 });
    const { events: log } = (await call(harness, 'GET /v1/events')).body;
    const told = log.filter(({ data }: { data: { by?: string } }) => data.by !== undefined);
    expect(told.map(({ type }: { type: string }) => type)).toEqual(['overlay.leave']);
  });

  it('has the lease that both sides tell of once', async () => {
    const { harness, begin } = world();
    await begin({ events: [uplinkEvent(1, { type: 'overlay.leader', data: { epoch: 1, leader_url: url('a') } })] });
    const { body } = await call(harness, 'GET /v1/events');
    expect(body.events.filter(({ type }: { type: string }) => type === 'overlay.leader')).toHaveLength(1);
  });

  it('says in one event how many were gone before they could be sent', async () => {
    const { a, begin } = world();
    await begin({ missed_events: 41, events: [uplinkEvent(50)] });
    await begin({ missed_events: 41, events: [uplinkEvent(50)] });
    await a.send({ seq: 2, events: [uplinkEvent(51)] });
    expect(await events()).toMatchObject([{ type: 'overlay.uplink', node_id: 'a', data: { missed_events: 41 } }, {}, {}]);
  });

  it('dates an event by its age', async () => {
    const { begin } = world();
    await begin({ events: [uplinkEvent(1, { age_ms: 3_600_000 }), uplinkEvent(2, { age_ms: 0 })] });
    const [first, second] = await events();
    expect(Date.parse(second.at) - Date.parse(first.at)).toBeGreaterThanOrEqual(3_599_000);
  });
}

/** As the Supervisor of node `a`. */
function ownPageCases(start: Start): void {
  describe('what a node would tell of its site', () => {
    let harness: Harness;
    beforeEach(async () => {
      harness = await start({ self: SELF });
    });
    afterEach(() => harness.close());
    const page = async (query = '', as = 'a') =>
      call(harness, `GET /v1/sites/uplink${query}`, { as: await harness.keys.nodeCredential(as) });

    it('is every node of that site, in the words of the uplink', async () => {
      await register(harness, 'a', { url: url('a') });
      for (const id of ['b', 'c', 'd']) await register(harness, id);
      await register(harness, 'far', { site: 'shop-2' });
      await call(harness, 'POST /v1/bootstrap/events', { body: bootstrapEvent('b') });
      await age(harness, 16_000);
      for (const id of ['a', 'b']) await call(harness, 'POST /v1/nodes/heartbeat', { body: heartbeat(id) });
      await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'd' } });
      const { body } = await page();
      expect(body.gone).toEqual(['d']);
      expect(body.nodes.map(({ node_id }: UplinkNode) => node_id)).toEqual(['a', 'b', 'c']);
      const [a, b, c] = body.nodes as UplinkNode[];
      expect(a).toMatchObject({ host: 'a.test', url: url('a'), services_running: [] });
      expect(a?.registered_ms).toBeGreaterThanOrEqual(16_000);
      expect(a).not.toHaveProperty('silent_ms');
      expect(b?.components).toMatchObject({ [bootstrapEvent('b').component]: { status: bootstrapEvent('b').status } });
      expect(c?.silent_ms).toBeGreaterThanOrEqual(15_000);
      const first = (await page('?limit=2')).body;
      expect(first).toMatchObject({ next: 'b' });
      expect((await page(`?limit=2&after=${first.next}`)).body).toMatchObject({ gone: ['d'], nodes: [{ node_id: 'c' }] });
      expect((await page('?site=shop-2')).body).toMatchObject({ nodes: [{ node_id: 'far' }] });
    });

    it('is for that node alone', async () => {
      expect(await page('', 'b')).toMatchObject({ status: 403, body: { code: 'forbidden' } });
      expect((await call(harness, 'GET /v1/sites/uplink')).status).toBe(200);
    });
  });
}
