import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createHub } from '../../../shared/supervisor/hub.ts';
import { call, FLEET_KEY, register } from '../../runtime/harness.ts';
import { startOnNode } from '../../runtime/node-harness.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { claimsAt, makeKey, sign } from '../../support/token-issuer.ts';

type Started = Awaited<ReturnType<typeof startOnNode>>;

/** What has come of a stream so far, and whether it has ended. */
function collect(response: Response): { text: string; ended: boolean; leave: () => Promise<void> } {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const seen = { text: '', ended: false, leave: async () => void (await reader?.cancel()) };
  const pump = async () => {
    for (let chunk = await reader?.read(); chunk !== undefined && !chunk.done; chunk = await reader?.read()) seen.text += chunk.value;
    seen.ended = true;
  };
  void pump();
  return seen;
}

describe('event streams under a simulated clock', () => {
  let harness: Started;
  beforeEach(async () => {
    harness = await startOnNode({ poll_ms: 2000, stream_seconds: 60 });
  });
  afterEach(() => harness.close());
  const open = async (path = '/v1/events', credential = FLEET_KEY) => {
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${credential}` };
    const seen = collect(await harness.supervisor.fetch(new Request(`http://node.test${path}`, { headers })));
    await harness.clock.advance(0);
    return seen;
  };
  /** As another process that has the same database would. */
  const writeElsewhere = (seq: number) =>
    harness.database.batch([
      { sql: `insert into events values ('default', ?, 'overlay.plan', 'default', null, 0, ?, '{}')`, params: [seq, `elsewhere/${seq}`] },
    ]);

  it('find at the next poll what another process wrote', async () => {
    const seen = await open();
    await writeElsewhere(1);
    await harness.clock.advance(1999);
    expect(seen.text).not.toContain('id: 1');
    await harness.clock.advance(1);
    expect(seen.text).toContain('id: 1\nevent: overlay.plan\n');
    await seen.leave();
  });

  it('are woken at once by what this process writes', async () => {
    const seen = await open();
    await register(harness, 'a');
    await harness.clock.advance(0);
    expect(seen.text).toContain('id: 1\nevent: overlay.register\n');
    await seen.leave();
  });

  it('of a key that can be revoked end after half a minute, so that it does not read on for an hour', async () => {
    const { key, key_id } = (await call(harness, 'POST /v1/keys', { body: { scope: 'viewer' } })).body;
    const [issued, forGood] = [await open('/v1/events', key), await open()];
    await call(harness, `DELETE /v1/keys/${key_id}`);
    for (let waited = 0; waited < 30_000; waited += 2000) await harness.clock.advance(2000);
    expect([issued.ended, forGood.ended]).toEqual([true, false]);
    expect((await call(harness, 'GET /v1/events', { as: key })).status).toBe(401);
    await forGood.leave();
  });

  it.each(['admin', 'admin_of_fleet'] as const)('of a JWT end after half a minute, too, where it is of an %s', async (rests_on) => {
    const { keys } = harness;
    const tokens = { verify: () => ({ fleet: 'default', keys, scope: 'operator', subject: 'jane', rests_on }) as const };
    await harness.close();
    harness = await startOnNode({ poll_ms: 2000, tokens });
    const seen = await open('/v1/events', await sign(await makeKey('one', 'EdDSA'), claimsAt(0)));
    for (let waited = 0; waited < 30_000; waited += 2000) await harness.clock.advance(2000);
    expect(seen.ended).toBe(true);
  });

  it('read on without waiting while there is more than one read gives', async () => {
    const rows = JSON.stringify(Array.from({ length: 250 }, (_, index) => index + 1));
    const sql = `insert into events select 'default', value, 'overlay.plan', 'default', null, 0, value, '{}' from json_each(?)`;
    await harness.database.batch([{ sql, params: [rows] }]);
    const seen = await open('/v1/events?after=0');
    for (let round = 0; round < 5; round += 1) await harness.clock.advance(0);
    expect(seen.text.match(/^id: /gm)).toHaveLength(250);
    await seen.leave();
  });

  it('gather no more than one read for a reader that does not read', async () => {
    let reads = 0;
    const counted = await startOnNode({
      wrap: (database) => ({
        ...database,
        batch: (statements) => {
          if (statements.some(({ sql }) => sql.includes('seq > ?'))) reads += 1;
          return database.batch(statements);
        },
      }),
    });
    onTestFinished(() => counted.close());
    const sql = `insert into events select 'default', value, 'overlay.plan', 'default', null, 0, value, '{}' from json_each(?)`;
    await counted.database.batch([{ sql, params: [JSON.stringify(Array.from({ length: 2000 }, (_, index) => index + 1))] }]);
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${FLEET_KEY}` };
    const response = await counted.supervisor.fetch(new Request('http://node.test/v1/events?after=0', { headers }));
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toContain(': open');
    for (let round = 0; round < 50; round += 1) await counted.clock.advance(0);
    expect(reads).toBeLessThanOrEqual(3);
    let text = '';
    while (!text.includes('id: 2000\n')) text += (await reader?.read())?.value ?? '';
    expect(text.match(/^id: /gm)).toHaveLength(2000);
    await reader?.cancel();
  });

  it('go on with what comes next when the cursor is of another log, which was longer', async () => {
    await register(harness, 'a');
    const seen = await open('/v1/events?after=5000');
    await register(harness, 'b');
    await harness.clock.advance(0);
    expect(seen.text.match(/^id: .*$/gm)).toEqual(['id: 2']);
    await seen.leave();
  });

  it('say something at each poll, so that a dead connection is noticed, and end after their time', async () => {
    const seen = await open();
    await harness.clock.advance(10_000);
    expect(seen.text.match(/: idle/g)?.length).toBeGreaterThanOrEqual(5);
    expect(seen.ended).toBe(false);
    await harness.clock.advance(50_000);
    expect(seen.ended).toBe(true);
    expect(harness.clock.sleeping).toBe(0);
  });

  it('leave nothing behind when the reader goes', async () => {
    const seen = await open();
    expect(harness.clock.sleeping).toBe(1);
    await seen.leave();
    await harness.clock.advance(0);
    expect(harness.clock.sleeping).toBe(0);
  });
});

describe('the hub', () => {
  it('wakes those who wait for the fleet, and nobody else', async () => {
    const hub = createHub();
    const clock = new SimulatedClock();
    const woken: string[] = [];
    const wait = async (fleet: string) => {
      await hub.wait(fleet, clock, 1000, new AbortController().signal);
      woken.push(fleet);
    };
    void wait('a');
    void wait('b');
    hub.wake('a');
    await clock.advance(0);
    expect(woken).toEqual(['a']);
    await clock.advance(1000);
    expect(woken).toEqual(['a', 'b']);
  });
});
