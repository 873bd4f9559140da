import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, heartbeat, register } from '../../runtime/harness.ts';
import { startOnNode } from '../../runtime/node-harness.ts';

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
