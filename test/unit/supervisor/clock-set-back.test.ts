import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import type { Database } from '../../../shared/ports/database.ts';
import { keepAges } from '../../../shared/supervisor/store/set-back.ts';
import { bootstrapEvent } from '../../runtime/events.cases.ts';
import { call, heartbeat, register, SELF } from '../../runtime/harness.ts';
import { migrations, startOnNode } from '../../runtime/node-harness.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

const TTL_MS = 15_000;
const DAY_MS = 86_400_000;
const LIVING = ['a', 'b'];
const GHOSTS = Array.from({ length: 8 }, (_, index) => `ghost-${index}`);
const RUNNING = { services_running: [{ name: 'shop', version: '1', state: 'running' }] };

describe('a leader whose clock is set back', () => {
  let harness: Awaited<ReturnType<typeof startOnNode>>;
  const speak = async (nodes: readonly string[]) => {
    for (const node of nodes)
      expect((await call(harness, 'POST /v1/nodes/heartbeat', { body: { ...heartbeat(node), ...RUNNING } })).status).toBe(204);
  };
  let epoch: number | undefined;
  /** The first time, and then a renewal. */
  const lead = async () => {
    const { body } = await call(harness, 'POST /v1/leader/claim', {
      body: { node_id: 'a', url: 'http://a.test:7420', ...(epoch === undefined ? {} : { epoch }) },
    });
    expect(body).toMatchObject({ granted: true });
    epoch = body.epoch;
  };
  const live = async (ttls: number) => {
    for (let third = 0; third < 3 * ttls; third += 1) {
      await harness.clock.advance(TTL_MS / 3);
      await speak(LIVING);
      await lead();
    }
  };
  const holders = async () => {
    const found: string[] = [];
    for (const node_id of LIVING) {
      const { body } = await call(harness, 'POST /v1/nodes/plan', { body: { node_id } });
      if (body.services.length === 1) found.push(node_id);
    }
    return found;
  };
  beforeEach(async () => {
    harness = await startOnNode();
    for (const node of [...LIVING, ...GHOSTS]) await register(harness, node);
    epoch = undefined;
    await lead();
    const plan = { services: [{ name: 'shop', version: '1', command: ['x'], placement: { count: 2 } }] };
    expect((await call(harness, 'PUT /v1/cluster/plan', { body: plan, headers: { 'if-match': '"0"' } })).status).toBe(200);
    // The machines of the ghosts are gone with what they ran, before the others got it.
    await speak(GHOSTS);
    await live(4);
    expect(await holders()).toEqual(LIVING);
  });
  afterEach(() => harness.close());

  it('by less than a TTL calls nobody late who has just spoken', async () => {
    harness.clock.jump(harness.clock.now() - 3000, true);
    await lead();
    await speak(['a']);
    expect(await holders()).toEqual(LIVING);
    const { nodes } = (await call(harness, 'GET /v1/nodes')).body;
    const online = nodes.filter(({ liveness }: { liveness: string }) => liveness === 'online');
    expect(online.map(({ node_id }: { node_id: string }) => node_id)).toEqual(LIVING);
  });

  it('by nearly as long as somebody has been silent keeps that one lost', async () => {
    // Since `speak(GHOSTS)` four TTLs have passed.
    for (const short_ms of [-2000, 2000]) {
      harness.clock.jump(harness.clock.now() - 4 * TTL_MS - short_ms, true);
      await lead();
      await speak(LIVING);
      expect(await holders()).toEqual(LIVING);
      const { nodes } = (await call(harness, 'GET /v1/nodes?liveness=lost')).body;
      expect(nodes.map(({ node_id }: { node_id: string }) => node_id)).toEqual(GHOSTS);
    }
  });

  it.each([
    ['before anybody has spoken since', []],
    ['when one has spoken since', ['a']],
    ['when all have spoken since', LIVING],
  ])('takes no service from who runs it in favour of who was lost: %s', async (_, spoken) => {
    harness.clock.jump(harness.clock.now() - DAY_MS, true);
    await lead();
    await speak(spoken);
    expect(await holders()).toEqual(LIVING);
    await live(2);
    expect(await holders()).toEqual(LIVING);
  });
});

describe('what a leader whose clock is set back tells the cloud', () => {
  it('is how long ago its nodes registered, reported and left, as before', async () => {
    const harness = await startOnNode({ self: SELF });
    onTestFinished(() => harness.close());
    for (const node of ['a', 'gone']) await register(harness, node);
    await call(harness, 'POST /v1/bootstrap/events', { body: bootstrapEvent('a') });
    await call(harness, 'POST /v1/nodes/leave', { body: { node_id: 'gone' } });
    await harness.clock.advance(60_000);
    const told = async () => (await call(harness, 'GET /v1/sites/uplink', { as: await harness.keys.nodeCredential('a') })).body;
    const before = await told();
    expect(before.nodes).toMatchObject([{ registered_ms: 60_000, components: { [bootstrapEvent('a').component]: { age_ms: 60_000 } } }]);
    harness.clock.jump(harness.clock.now() - DAY_MS, true);
    await harness.clock.advance(1000);
    const [node] = (await told()).nodes;
    expect(node).toMatchObject({ registered_ms: 61_000, components: { [bootstrapEvent('a').component]: { age_ms: 61_000 } } });
    // What a later registration is compared with.
    const sql = `select ${harness.database.now} - left_at as left_ms from nodes where node_id = 'gone'`;
    expect(await harness.database.batch([{ sql, params: [] }])).toEqual([[{ left_ms: 61_000 }]]);
  });
});

describe('a database that was closed while its clock was set back', () => {
  it('keeps how long ago each node was heard before the last one, and for how long a lease lasts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bootplane-set-back-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const openAt = (now: number) =>
      openSqlite({ path: join(folder, 'it.sqlite'), clock: new SimulatedClock(now), migrations, set_back: keepAges });
    const ages = async (database: Database) => {
      const sql = `select nodes.node_id, ${database.now} - heard_at as heard_ms, expires_at - ${database.now} as left_ms
        from nodes join leases using (fleet, site) order by 1`;
      return (await database.batch([{ sql, params: [] }]))[0]?.map(({ node_id, heard_ms, left_ms }) => [node_id, heard_ms, left_ms]);
    };
    const before = openAt(DAY_MS);
    const node = (node_id: string, heard_at: number) => ({
      sql: `insert into nodes (fleet, node_id, site, role, host, ip, capabilities, versions, devices, services_running, registered_at, heard_at)
        values ('f', ?, 's', 'worker', '', '', '[]', '{}', '[]', '[]', 0, ?)`,
      params: [node_id, heard_at],
    });
    const lease = {
      sql: "insert into leases (fleet, site, node_id, url, epoch, expires_at, renewals) values ('f', 's', 'a', '', 1, ?, 0)",
      params: [DAY_MS + TTL_MS],
    };
    await before.batch([node('a', DAY_MS), node('ghost', DAY_MS - 61_000), lease]);
    const told = [
      ['a', 0, TTL_MS],
      ['ghost', 61_000, TTL_MS],
    ];
    expect(await ages(before)).toEqual(told);
    await before.close();
    const back = openAt(DAY_MS - 60_000);
    expect(await ages(back)).toEqual(told);
    await back.close();
    const later = openAt(DAY_MS);
    expect((await ages(later))?.[0]).toEqual(['a', 60_000, TTL_MS - 60_000]);
    await later.close();
  });
});
