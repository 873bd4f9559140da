import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { FLEET_KEY, heartbeat, register } from '../runtime/harness.ts';
import { CLOUD, type FrontDoor, LEADER, startFrontDoor } from './front-door.harness.ts';

const PLAN = JSON.stringify({ ttl_seconds: 9, services: [] });
const publish = (body = PLAN, generation = 0) => ({ body, headers: { 'if-match': `"${generation}"` } });

describe('the front door of a node', () => {
  let node: FrontDoor;
  beforeEach(async () => {
    node = await startFrontDoor();
    await register(node.leader, 'b');
  });
  afterEach(() => node.close());
  const again = (index = 0) => node.leader.supervisor.fetch(node.sent[index]!.clone());

  it('answers everything itself while it leads', async () => {
    node.decider = { kind: 'own' };
    expect((await (await node.call('GET /v1/nodes')).json()).nodes).toEqual([]);
    expect(node.sent).toEqual([]);
  });

  it.each(['/healthz', '/readyz', '/metrics', '/v1/openapi.json', '/v1/leader?challenge=0123456789abcdef&fleet=default&origin=x'])(
    'answers %s itself always',
    async (path) => {
      await node.call(`GET ${path}`);
      expect(node.sent).toEqual([]);
    },
  );

  it('compares drafts with its own backends, whoever leads', async () => {
    await node.call('POST /v1/reconcile/diff', { body: '{"plan":{"services":[]}}', headers: { 'content-type': 'application/json' } });
    expect(node.sent).toEqual([]);
  });

  it('shows and removes what it made itself, whoever leads: that is never passed on', async () => {
    await node.call('GET /v1/reconcile/prune');
    await node.call('POST /v1/reconcile/prune', { body: `{"hash":"${'a'.repeat(64)}"}`, headers: { 'content-type': 'application/json' } });
    expect(node.sent).toEqual([]);
  });

  it('vouches for a caller to the leader, and the fleet key stays with the node', async () => {
    const answer = await node.call('PUT /v1/cluster/plan', publish());
    expect([answer.status, (await answer.json()).generation]).toEqual([200, 1]);
    const [sent] = node.sent;
    expect(sent?.url).toBe(`${LEADER}/v1/cluster/plan`);
    expect([...sent!.headers].join()).not.toContain(FLEET_KEY);
    expect(sent?.headers.get('authorization')).toMatch(/^Bearer bpf~default~me~/);
    const keyed = await node.call('GET /v1/nodes', { headers: { authorization: '', 'x-api-key': FLEET_KEY } });
    expect(keyed.status).toBe(401);
  });

  it('keeps the key of a caller that gives it as X-API-Key too', async () => {
    const headers = new Headers({ 'x-api-key': FLEET_KEY });
    headers.delete('authorization');
    await node.call('GET /v1/nodes', { headers: { 'x-api-key': FLEET_KEY } });
    expect([...node.sent[0]!.headers].join()).not.toContain(FLEET_KEY);
  });

  it('passes the credential of a node on as it is, and that node stays that node', async () => {
    const authorization = `Bearer ${await node.own.keys.nodeCredential('c')}`;
    const init = (node_id: string) => ({ method: 'POST', body: JSON.stringify(heartbeat(node_id)), headers: { authorization } });
    expect((await node.call('POST /v1/nodes/heartbeat', init('b'))).status).toBe(403);
    expect((await node.call('POST /v1/nodes/heartbeat', init('c'))).status).toBe(404);
    expect(node.sent[0]?.headers.get('authorization')).toBe(authorization);
  });

  it('passes on as much as a call may have: an offer of several documents is larger than any one of them', async () => {
    const versions = Array.from({ length: 3 }, () => ({ text: 'x'.repeat(900_000) }));
    const answer = await node.call('POST /v1/cluster/plan/versions', { method: 'POST', body: JSON.stringify({ versions }) });
    const { code, errors } = await answer.json();
    expect([answer.status, code, errors[0].pointer]).toEqual([400, 'invalid_body', '/versions/0']);
  });

  it('brings an artifact to the leader, and tells of one there with its size', async () => {
    const path = `/v1/artifacts/${await sha256Hex('an artifact')}`;
    const headers = { 'content-type': 'application/octet-stream' };
    expect((await node.call(`PUT ${path}`, { method: 'PUT', body: 'an artifact', headers })).status).toBe(201);
    const asked = await node.call(`HEAD ${path}`);
    expect([asked.status, asked.headers.get('content-length'), asked.headers.get('accept-ranges')]).toEqual([200, '11', 'bytes']);
    const part = await node.call(`GET ${path}`, { headers: { range: 'bytes=3-' } });
    expect([part.status, part.headers.get('content-length'), await part.text()]).toEqual([206, '8', 'artifact']);
  });

  it('sends nothing for a caller whom it does not know', async () => {
    const answer = await node.call('GET /v1/nodes', { headers: { authorization: 'Bearer wrong' } });
    expect([answer.status, node.sent.length]).toEqual([401, 0]);
  });

  it('vouches for one request only: what was sent once is refused the second time', async () => {
    await node.call('GET /v1/nodes');
    const replay = await again();
    expect(await replay.json()).toMatchObject({ status: 401, detail: expect.stringContaining('before') });
  });

  it.each([
    ['another path', (request: Request) => new Request(`${LEADER}/v1/state`, request)],
    ['another method', (request: Request) => new Request(request, { method: 'HEAD' })],
    ['another query', (request: Request) => new Request(`${request.url}?site=x`, request)],
    ['another If-Match', (request: Request) => new Request(request, { headers: [...request.headers, ['if-match', '"1"']] })],
    [
      'another scope',
      (request: Request) => {
        const said = request.headers.get('bootplane-forwarded')!.replace('operator', 'node');
        return new Request(request, { headers: { ...Object.fromEntries(request.headers), 'bootplane-forwarded': said } });
      },
    ],
  ])('vouches for nothing else: not for %s', async (_, change) => {
    node.wire = async (request) => node.leader.supervisor.fetch(change(request));
    expect((await node.call('GET /v1/nodes')).status).toBe(503);
    expect((await node.leader.supervisor.fetch(change(node.sent[0]!.clone()))).status).toBe(401);
  });

  it('vouches for no other body', async () => {
    node.wire = async (request) => node.leader.supervisor.fetch(new Request(request, { body: '{"services":[],"ttl_seconds":1}' }));
    expect((await node.call('PUT /v1/cluster/plan', publish())).status).toBe(503);
    expect((await node.leader.fetch('/v1/cluster/plan', { headers: { authorization: `Bearer ${FLEET_KEY}` } })).status).toBe(404);
  });

  it('vouches at no other epoch: nothing is done there, and it waits until both agree', async () => {
    node.epoch = 2;
    const answer = node.call('PUT /v1/cluster/plan', publish());
    await expect.poll(() => node.sent.length).toBeGreaterThan(0);
    expect((await again()).status).toBe(421);
    node.decider = { kind: 'leader', url: LEADER, epoch: 2, node_id: 'b' };
    expect((await answer).status).toBe(200);
  });

  it('passes nothing on a second time', async () => {
    const answer = await node.call('GET /v1/nodes', { headers: { 'bootplane-forwarded': '1' } });
    expect([answer.status, (await answer.json()).code, node.sent.length]).toEqual([421, 'misdirected', 0]);
  });

  it('holds a call until a leader is known, and says so when none comes', async () => {
    node.decider = { kind: 'nobody' };
    const held = node.call('PUT /v1/cluster/plan', publish());
    node.decider = { kind: 'leader', url: LEADER, epoch: 1, node_id: 'b' };
    expect((await held).status).toBe(200);
    node.decider = { kind: 'nobody' };
    const answer = await node.call('PUT /v1/cluster/plan', publish());
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ code: 'no_leader', status: 503 });
  });

  it('takes a publish whose answer was lost for done, and does it once', async () => {
    let lost = 0;
    node.wire = async (request, go) => {
      const answer = await go(request);
      lost += 1;
      if (lost === 1) throw new TypeError('fetch failed', { cause: new Error('other side closed') });
      return answer;
    };
    const answer = await node.call('PUT /v1/cluster/plan', publish());
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ generation: 1, changed: true, dry_run: false });
    const history = await node.leader.fetch('/v1/cluster/plan/history', { headers: { authorization: `Bearer ${FLEET_KEY}` } });
    expect((await history.json()).versions).toHaveLength(1);
    const other = await node.call('PUT /v1/cluster/plan', publish(JSON.stringify({ ttl_seconds: 8, services: [] })));
    expect(other.status).toBe(412);
  });

  it('never sends a second time what may have been done and would be done twice', async () => {
    node.wire = async (request, go) => {
      await go(request);
      throw new TypeError('fetch failed', { cause: new Error('other side closed') });
    };
    const body = JSON.stringify({ node_id: 'b', url: 'http://b.test:1' });
    const answer = await node.call('POST /v1/leader/claim', { body });
    expect(await answer.json()).toMatchObject({ status: 503, code: 'unavailable', detail: expect.stringContaining('may have been done') });
    expect(node.sent).toHaveLength(1);
  });

  it.each(['GET /v1/events', 'PUT /v1/cluster/plan?dry_run=true'])(
    'does not say of %s, which changes nothing, that it may have been done',
    async (name) => {
      node.wire = () => Promise.reject(new TypeError('fetch failed', { cause: new Error('other side closed') }));
      const answer = await node.call(name, name.startsWith('PUT') ? publish() : {});
      expect(await answer.json()).toMatchObject({ status: 503, code: 'unavailable', detail: expect.not.stringContaining('done') });
    },
  );

  it('sends anything again that certainly did not arrive', async () => {
    let tries = 0;
    node.wire = async (request, go) => {
      tries += 1;
      if (tries > 1) return go(request);
      throw new TypeError('fetch failed', { cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) });
    };
    const body = JSON.stringify({ node_id: 'b', url: 'http://b.test:1' });
    expect((await node.call('POST /v1/leader/claim', { body })).status).toBe(200);
  });

  it('reads the documents from its own mirror while nobody leads, marked with their age', async () => {
    const headers = { authorization: `Bearer ${FLEET_KEY}`, 'if-match': '"0"', 'content-type': 'application/json' };
    await node.own.fetch('/v1/cluster/plan', { method: 'PUT', headers, body: PLAN });
    node.decider = { kind: 'nobody' };
    const answer = await node.call('GET /v1/cluster/plan');
    expect([answer.status, (await answer.json()).generation]).toEqual([200, 1]);
    expect(answer.headers.get('bootplane-stale')).toMatch(/^\d+$/);
  });

  it.each(['http://192.0.2.7:7420', 'http://cloud.example'])('sends no credential to a cloud at %s, which nothing proves', async (url) => {
    node.decider = { kind: 'cloud', url };
    const answer = await node.call('GET /v1/nodes');
    expect([answer.status, node.sent.length]).toEqual([503, 0]);
  });

  it('passes a body on to the cloud while it still comes in: nothing of it is gathered', async () => {
    node.decider = { kind: 'cloud', url: CLOUD };
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    node.wire = async (request) => new Response((await request.body?.getReader().read())?.value);
    const answer = node.call('POST /v1/bootstrap/events', { body: readable, duplex: 'half' } as RequestInit);
    void writable.getWriter().write(new TextEncoder().encode('the first piece'));
    expect(await (await answer).text()).toBe('the first piece');
  });
});

describe('publishing through a node', () => {
  let node: FrontDoor;
  afterEach(() => node.close());
  const refused = () => Promise.reject(Object.assign(new TypeError('fetch failed'), { code: 'ENOTFOUND' }));
  const published = async () => Response.json({ generation: 4 }, { headers: { etag: '"4-0123456789abcdef"' } });

  it.each([
    ['it leads', { kind: 'own' }],
    ['another node leads', { kind: 'leader', url: LEADER, epoch: 1, node_id: 'b' }],
    ['it follows the cloud', { kind: 'cloud', url: CLOUD }],
    ['nobody leads', { kind: 'nobody' }],
  ] as const)('ends up at the cloud where there is one, while %s, with the credential of the caller', async (_, decider) => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.decider = decider;
    node.wire = published;
    expect(await (await node.call('PUT /v1/cluster/plan', publish())).json()).toEqual({ generation: 4 });
    expect(node.sent.map(({ url }) => url)).toEqual([`${CLOUD}/v1/cluster/plan`]);
    expect(node.sent[0]?.headers.get('authorization')).toBe(`Bearer ${FLEET_KEY}`);
    expect(node.published).toEqual([{ plan: 4 }]);
  });

  it('tells nobody of a dry run, nor of what was refused', async () => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.wire = async () => Response.json({ generation: 4, dry_run: true });
    await node.call('PUT /v1/cluster/plan?dry_run=true', publish());
    node.wire = async () => Response.json({}, { status: 412, headers: { etag: '"4-0123456789abcdef"' } });
    expect((await node.call('PUT /v1/cluster/plan', publish())).status).toBe(412);
    expect(node.published).toEqual([]);
  });

  it.each([
    ['own', { kind: 'own' }],
    ['another', { kind: 'leader', url: LEADER, epoch: 1, node_id: 'b' }],
  ] as const)('says what to do where the cloud is out of reach, and publishes nothing here (leader: %s)', async (_, decider) => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.decider = decider;
    node.wire = refused;
    const answer = await node.call('PUT /v1/cluster/plan', publish());
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    const problem = await answer.json();
    expect(problem).toMatchObject({ code: 'unavailable', status: 503 });
    for (const words of ['the cloud decides', 'Nothing was published', '--break-glass']) expect(problem.detail).toContain(words);
    for (const { fetch } of [node.own, node.leader]) {
      expect((await fetch('/v1/cluster/plan', { headers: { authorization: `Bearer ${FLEET_KEY}` } })).status).toBe(404);
    }
  });

  it('says of a dry run what there is instead, and nothing of publishing, which nobody wanted yet', async () => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.wire = refused;
    const { detail } = await (await node.call('PUT /v1/cluster/plan?dry_run=true', publish())).json();
    expect(detail).toMatch(/the cloud decides .* can't be reached .*`bootplane diff FILE`/);
    expect(detail).not.toMatch(/published|break/);
  });

  it('does not say that nothing was done where nobody knows that', async () => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.wire = async () => new Response('<html>bad gateway</html>', { status: 502, headers: { 'content-type': 'text/html' } });
    expect(await (await node.call('PUT /v1/cluster/plan', publish())).json()).toMatchObject({
      code: 'unavailable',
      detail: expect.stringContaining('It may have been published or not'),
    });
    node.wire = async () => Promise.reject(new TypeError('fetch failed', { cause: new Error('other side closed') }));
    expect((await (await node.call('PUT /v1/cluster/plan', publish())).json()).detail).toContain('may have been published or not');
  });

  it('of an emergency version goes to the leader of the site, and never to the cloud', async () => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    await node.call('PUT /v1/cluster/plan?break_glass=true', publish());
    expect(node.sent.map(({ url }) => url)).toEqual([`${LEADER}/v1/cluster/plan?break_glass=true`]);
    node.decider = { kind: 'own' };
    await node.call('PUT /v1/cluster/plan?break_glass=true', publish());
    expect(node.sent).toHaveLength(1);
  });

  it('that another node has passed on is refused by a leader with a cloud, which names it', async () => {
    node = await startFrontDoor({ cloud_url: CLOUD });
    node.decider = { kind: 'own' };
    const passed = { 'bootplane-forwarded': '1', 'if-match': '"0"' };
    const answer = await node.call('PUT /v1/cluster/plan', { body: PLAN, headers: passed });
    expect([answer.status, answer.headers.get('location')]).toEqual([421, CLOUD]);
    const emergency = await node.call('PUT /v1/cluster/plan?break_glass=true', { body: PLAN, headers: passed });
    expect(emergency.status).not.toBe(421);
  });

  it('on a node without a cloud is refused where its leader has one: no credential goes to an address that it tells of', async () => {
    node = await startFrontDoor();
    node.wire = async () => new Response('{}', { status: 421, headers: { location: 'https://elsewhere.example' } });
    const answer = await node.call('PUT /v1/cluster/plan', publish());
    expect([answer.status, (await answer.json()).detail]).toEqual([503, expect.stringContaining('https://elsewhere.example')]);
    expect(node.sent.filter(({ url }) => url.includes('elsewhere'))).toEqual([]);
  });
});
