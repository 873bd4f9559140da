import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { age, call, type Harness } from '../harness.ts';
import { uplinkEvent, uplinkNode } from '../uplink.cases.ts';
import { countingD1 } from './count-rows.ts';
import { freshD1, startOnWorkerd } from './harness.ts';

/** What D1 itself says that it wrote and read: index rows counted, as it bills them. */
describe('what the uplink of a site of 100 nodes costs', () => {
  const NODES = Array.from({ length: 100 }, (_, index) => uplinkNode(`n${index}`));
  let harness: Harness;
  let rows: ReturnType<typeof countingD1>;
  let epoch = 1;
  let seq = 0;
  beforeEach(async () => {
    rows = countingD1(await freshD1());
    harness = await startOnWorkerd({ wrap: () => rows.database });
    [epoch, seq] = [1, 0];
    await claim();
    await uplink({ full: true, nodes: NODES });
  });
  afterEach(() => harness.close());
  const claim = async (node_id = 'n0') =>
    (
      await call(harness, 'POST /v1/leader/claim', {
        as: await harness.keys.nodeCredential(node_id),
        body: { node_id, url: 'http://a.test:1' },
      })
    ).body;
  const uplink = async (more: Record<string, unknown> = {}, node_id = 'n0') => {
    seq += 1;
    rows.reset();
    const body = { node_id, url: 'http://a.test:1', epoch, session: `s${epoch}`, seq, ...more };
    const reply = await call(harness, 'POST /v1/sites/uplink', { as: await harness.keys.nodeCredential(node_id), body });
    expect(reply.body).toMatchObject({ granted: true, acked: seq });
    return { ...rows.counts };
  };

  it('in an interval in which nothing has changed: one row, in one statement', async () => {
    await age(harness, 5_000);
    const counts = await uplink();
    expect(counts).toMatchObject({ batches: 1, statements: 1, written: 1 });
    expect(counts.read).toBeLessThanOrEqual(10);
  });

  it('for each node that has changed one row more, and two for each event', async () => {
    const changed = NODES.slice(0, 3).map((node) => ({ ...node, role: 'proxy' as const }));
    expect((await uplink({ nodes: changed })).written).toBe(1 + 3);
    expect((await uplink({ events: [uplinkEvent(1), uplinkEvent(2)] })).written).toBe(1 + 2 * 2);
    expect((await uplink({ gone: ['n7', 'n8'] })).written).toBe(1 + 2);
  });

  it('told again by the same leader, though all of it: one row', async () => {
    seq = 0;
    expect((await uplink({ session: 'another', full: true, nodes: NODES })).written).toBe(1);
  });

  it('under another leader: one row for each node, once', async () => {
    await age(harness, 20_000);
    ({ epoch } = await claim('n1'));
    seq = 0;
    expect((await uplink({ full: true, nodes: NODES }, 'n1')).written).toBe(1 + NODES.length);
    expect((await uplink({}, 'n1')).written).toBe(1);
  });

  it('by one that has lost the lease: none', async () => {
    await age(harness, 20_000);
    await claim('n1');
    rows.reset();
    const body = { node_id: 'n0', url: 'http://a.test:1', epoch: 1, session: 's1', seq: 2, nodes: NODES };
    const reply = await call(harness, 'POST /v1/sites/uplink', { as: await harness.keys.nodeCredential('n0'), body });
    expect(reply.body).toMatchObject({ granted: false, node_id: 'n1' });
    expect(rows.counts.written).toBe(0);
  });
});
