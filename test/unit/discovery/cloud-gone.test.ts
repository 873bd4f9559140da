import { afterEach, describe, expect, it } from 'vitest';
import { type Boot, CLOUD, Machine, planOf } from './harness.ts';
import { fail } from './scripted-supervisor.ts';

const MINUTE_MS = 60_000;
/** In simulated time. */
const GONE_MINUTES = 120;
const TTL_SECONDS = 15;
/** A leader that hears its cloud calls it three times in a TTL. One that does not hear it calls it less often, all its tries together. */
const MOST_A_MINUTE = (3 * MINUTE_MS) / (TTL_SECONDS * 1000);

const boots: Boot[] = [];
afterEach(() => {
  for (const boot of boots.splice(0)) boot.crash();
});

type Fault = (request: Request) => Promise<Response>;

const refused: Fault = async () => {
  throw new TypeError('fetch failed', { cause: Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }) });
};
const silent: Fault = ({ signal }) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(new TypeError('fetch failed', { cause: signal.reason }))));
const failing: Fault = async () => fail('internal');
const errorPage: Fault = async () => new Response('<html>error 1101</html>', { status: 500, headers: { 'content-type': 'text/html' } });

/** A node that leads with the word of its cloud, and a switch for what the cloud does. */
async function lead(plan = ['api', 'web']) {
  const machine = new Machine();
  machine.cloud.publish(await planOf(plan));
  const cloud = { fault: undefined as Fault | undefined, called_at: [] as number[] };
  const fetch = async (request: Request) => {
    if (!request.url.startsWith(CLOUD)) return refused(request);
    cloud.called_at.push(machine.clock.monotonic());
    return cloud.fault === undefined ? machine.cloud.fetch(request) : cloud.fault(request);
  };
  const boot = await machine.boot({ cloud_url: CLOUD }, { fetch });
  boots.push(boot);
  await machine.elapse(5_000);
  expect(boot.discovery.state()).toMatchObject({ leads: true, source: 'self', confirmed: true, provisional: false });
  return { machine, boot, cloud };
}

/** The calls of each whole minute since then. */
function byMinute(called_at: readonly number[], since: number, minutes: number): number[] {
  const counts = Array.from({ length: minutes }, () => 0);
  for (const at of called_at) {
    const minute = Math.floor((at - since) / MINUTE_MS);
    if (minute >= 0 && minute < minutes) counts[minute] = (counts[minute] ?? 0) + 1;
  }
  return counts;
}

describe('a leader whose cloud is gone for hours', () => {
  it.each([
    ['refuses connections', refused],
    ['takes calls and never answers', silent],
    ['answers 500', failing],
    ['answers with an error page', errorPage],
  ])('leads on while it %s, calls seldom, and comes back by itself', async (_name, fault) => {
    const { machine, boot, cloud } = await lead();
    const { discovery, services } = boot;
    const [trace, gone_at] = [[...machine.trace], machine.clock.monotonic()];
    cloud.fault = fault;

    // The lease of the cloud runs out, and it goes on without the cloud's word.
    await machine.clock.advance(3 * TTL_SECONDS * 1000);
    expect(discovery.state()).toMatchObject({ leads: true, source: 'self', provisional: true, confirmed: false });
    for (let minute = 1; minute < GONE_MINUTES; minute += 30) {
      await machine.clock.advance(30 * MINUTE_MS);
      expect(discovery.state()).toMatchObject({ leads: true, source: 'self', provisional: true });
      expect(services.running).toEqual(['api', 'web']);
    }
    const calls = byMinute(cloud.called_at, gone_at, GONE_MINUTES);
    expect(Math.max(...calls), `calls by minute: ${calls.join(' ')}`).toBeLessThanOrEqual(MOST_A_MINUTE);
    // It never stops asking either.
    expect(Math.min(...calls.slice(0, -1)), `calls by minute: ${calls.join(' ')}`).toBeGreaterThan(0);

    const back_at = machine.clock.monotonic();
    cloud.fault = undefined;
    await machine.clock.advance(2 * MINUTE_MS);
    expect(discovery.state()).toMatchObject({ leads: true, source: 'self', confirmed: true, provisional: false });
    // What it has to tell goes in a few calls, and then it is as before.
    const after = byMinute(cloud.called_at, back_at, 2);
    expect(Math.max(...after), `calls after it came back: ${after.join(' ')}`).toBeLessThanOrEqual(2 * MOST_A_MINUTE);
    // Nothing was adopted, applied or stopped again in all that time.
    expect(machine.trace).toEqual(trace);
    expect(services.running).toEqual(['api', 'web']);
  });

  it('takes up what was published meanwhile, once', async () => {
    const { machine, cloud } = await lead(['api']);
    cloud.fault = refused;
    await machine.clock.advance(60 * MINUTE_MS);
    const { hash } = machine.cloud.documents.plan?.meta ?? {};
    machine.cloud.publish(await planOf(['api', 'web'], { generation: 2, ...(hash === undefined ? {} : { parent: hash }) }));
    cloud.fault = undefined;
    await machine.clock.advance(3 * MINUTE_MS);
    expect(machine.trace).toEqual(['adopt', 'apply 1: api', 'apply 2: api, web']);
  });
});
