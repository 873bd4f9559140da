import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, heartbeat, register } from '../runtime/harness.ts';
import { makeDataDir, run, type Site, STARTED_AT, startSite } from '../support/cli.ts';

const NOW = Date.parse(STARTED_AT) + 3_720_000;
const HASH = 'a'.repeat(64);

describe('status', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  const component = (more: object) => ({
    status: 'applied',
    action: 'reconcile',
    generation: 3,
    hash: HASH,
    attempt: 2,
    duration_ms: 4,
    incompatible: [],
    at: new Date(NOW - 90_000).toISOString(),
    ...more,
  });
  const health = () => ({
    status: 'degraded',
    node_id: 'node-1',
    fleet: 'default',
    site: 'berlin',
    role: 'leader',
    epoch: 7,
    leader_url: 'http://10.0.0.1:7420',
    control_plane_url: 'http://10.0.0.1:7420',
    provisional: true,
    adapters: { storage: 'fs', broker: 'local', vector: 'embedded' },
    components: {
      storage: component({ message: 'made 2 buckets' }),
      broker: component({ status: 'failed', message: 'disk\u001b[31m full\nsecond line' }),
      vector: component({ status: 'applied', incompatible: [{ subject: 'class Frame', detail: 'camera is int, not text' }] }),
    },
    services: [{ name: 'hello', version: '1.0.0', state: 'running', restarts: 4, health: 'healthy' }],
    waiting_for: ['broker: disk full'],
  });

  it('shows the node, its components and its services', async () => {
    site.own.set('GET /healthz', health());
    const { code, out } = await site.run(['status'], { now: () => NOW });
    expect(code).toBe(0);
    expect(out).toMatch(/^bootplane degraded\n {2}waits for broker: disk full\n/);
    expect(out).toContain('http://10.0.0.1:7420 (this node), epoch 7, provisional');
    expect(out).toMatch(/^started +1 h 2 min ago$/m);
    expect(out).toMatch(/^storage +applied +3 +2 +1 min 30 s ago +made 2 buckets$/m);
    expect(out).toMatch(/^broker +failed .*disk full second line$/m);
    expect(out).toMatch(/^services +not yet$/m);
    expect(out).toContain('incompatible class Frame: camera is int, not text');
    expect(out).toMatch(/^hello +1\.0\.0 +running +4 +healthy$/m);
    expect(out).not.toContain('\u001b');
  });

  it('--json is the answer as it came', async () => {
    site.own.set('GET /healthz', health());
    expect(JSON.parse((await site.run(['status', '--json'])).out)).toEqual(health());
  });

  it('tells what is damaged from what another fleet key has signed', async () => {
    const at = new Date(NOW).toISOString();
    const set_aside = [
      { file: 'bus.sqlite', why: 'it is no database', kept_as: 'bus.sqlite.corrupt-1', at },
      { file: 'plan.json', why: 'it is signed with another fleet key', kept_as: 'plan.json.other-key-1', reason: 'other_key', at },
    ];
    site.own.set('GET /healthz', { ...health(), set_aside });
    const { out } = await site.run(['status']);
    expect(out).toMatch(
      /found damaged and made anew since the start:\n +bus\.sqlite .*corrupt-1\n\nof another fleet key, .*:\n +plan\.json /,
    );
  });
});

describe('nodes', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  it('lists all pages', async () => {
    for (let number = 0; number < 120; number += 1)
      await register(site.harness, `node-${number}`, { site: number === 7 ? 'paris' : 'berlin' });
    await call(site.harness, 'POST /v1/nodes/heartbeat', {
      body: heartbeat('node-3', { services_running: [{ name: 'hello', version: '1', state: 'backoff' }] }),
    });
    const { code, out } = await site.run(['nodes']);
    expect(code).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(123);
    expect(out).toMatch(/\n\nleader: none \(/);
    expect(out).toMatch(/^node-3 +berlin +worker +online .*hello \(backoff\)$/m);
    expect((await site.run(['nodes', '--in-site', 'paris'])).out.trim().split('\n')).toHaveLength(4);
    expect(JSON.parse((await site.run(['nodes', '--json'])).out).nodes).toHaveLength(120);
    expect((await site.run(['nodes', '--liveness', 'late,lost'])).out).toBe('no node is late or lost\n');
    const paris = await site.run(['nodes', '--liveness', 'online', '--in-site', 'paris', '--json']);
    expect(JSON.parse(paris.out).nodes).toHaveLength(1);
    expect(await site.run(['nodes', '--liveness', 'gone'])).toMatchObject({ code: 64, err: expect.stringContaining('liveness') });
  });

  it('says on standard error, once, that a gateway answers from what it keeps, and how old that is', async () => {
    const kept = async (request: Request) => {
      const answer = await site.harness.supervisor.fetch(request);
      return new Response(answer.body, { headers: { ...Object.fromEntries(answer.headers), 'bootplane-stale': '69' } });
    };
    for (let number = 0; number < 120; number += 1) await register(site.harness, `node-${number}`);
    const { out } = await site.run(['nodes', '--json']);
    for (const path of ['nodes', 'state', 'cluster/plan']) site.own.set(`GET /v1/${path}`, kept);
    const note = 'as of 1 min 9 s ago: no leader is in reach\n';
    expect(await site.run(['nodes', '--json'])).toEqual({ code: 0, out, err: note });
    expect((await site.run(['nodes', '--liveness', 'online'])).err).toBe(note);
    // What the node says of itself is of now.
    expect((await site.run(['status'])).err).toBe('');
  });

  it('says that there is none', async () => {
    expect((await site.run(['nodes'])).out).toBe('no node is registered\n');
  });
});

describe('reconcile --dry-run', () => {
  let site: Site;
  beforeEach(async () => {
    site = await startSite();
  });
  afterEach(() => site.close());

  const diff = (actions: object[], failed?: string) => ({ components: [{ component: 'broker', backend: 'local', actions, failed }] });

  it('shows each action with its safety, before and after', async () => {
    site.own.set(
      'GET /v1/reconcile/diff',
      diff([
        { kind: 'ensure-queue', safety: 'add', subject: 'queue frames', after: { ttl_ms: 60000 } },
        { kind: 'set-ttl', safety: 'destroy', subject: 'queue old', before: 9000, after: 10, detail: 'it would expire what waits' },
      ]),
    );
    const { code, out } = await site.run(['reconcile', '--dry-run']);
    expect(code).toBe(2);
    expect(out).toContain('broker (local):\n  add  queue frames  ensure-queue\n      + {"ttl_ms":60000}\n');
    expect(out).toContain('  destroy  queue old  set-ttl\n      - 9000\n      + 10\n      skipped: it would expire what waits\n');
  });

  it('exits with 0 when there is nothing to do, and with 1 when a backend can not be read', async () => {
    site.own.set('GET /v1/reconcile/diff', diff([]));
    expect(await site.run(['reconcile', '--dry-run'])).toEqual({ code: 0, out: 'broker (local): nothing to do\n', err: '' });
    site.own.set('GET /v1/reconcile/diff', diff([], 'the disk is gone'));
    const failed = await site.run(['reconcile', '--dry-run']);
    expect(failed.code).toBe(1);
    expect(failed.out).toContain('the disk is gone');
    expect(JSON.parse((await site.run(['reconcile', '--dry-run', '--json'])).out)).toEqual(diff([], 'the disk is gone'));
  });

  it('says who reconciles what the site shares', async () => {
    site.own.set('GET /v1/reconcile/diff', {
      components: [{ component: 'broker', backend: 'rabbitmq', actions: [], reconciled_by: 'node-1' }],
    });
    expect(await site.run(['reconcile', '--dry-run'])).toEqual({
      ...{ code: 0, err: '' },
      out: 'broker (rabbitmq): left to node node-1, which leads the site and reconciles it\n',
    });
  });
});

describe('why', () => {
  const trace = {
    node_id: 'node-1',
    at: '2026-01-01T00:00:00.000Z',
    reason: 'lost',
    steps: [
      { step: 'mdns', outcome: 'off', detail: 'turned off by BOOTPLANE_MDNS', duration_ms: 0 },
      { step: 'peers', outcome: 'rejected', url: 'http://10.0.0.9:7420', detail: 'its proof is not of this fleet', duration_ms: 12 },
      {
        step: 'cloud',
        outcome: 'no_answer',
        url: 'https://control.example',
        detail: 'https://control.example: ETIMEDOUT',
        duration_ms: 2000.4,
      },
      { step: 'self', outcome: 'found', detail: 'epoch 4 was granted', duration_ms: 3 },
    ],
    result: 'this node leads its site',
    duration_ms: 2015,
  };

  it('tells each step in order, and the outcome', async () => {
    const { dir, remove } = await makeDataDir();
    await writeFile(join(dir, 'discovery-trace.json'), JSON.stringify(trace));
    const now = () => Date.parse(trace.at) + 3_600_000;
    const { code, out } = await run(['why', '--data-dir', dir], { now });
    const json = await run(['why', '--data-dir', dir, '--json']);
    await remove();
    expect(code).toBe(0);
    expect(out).toContain(
      'node node-1 looked for its control plane 1 h ago (2026-01-01T00:00:00.000Z), since it had lost its control plane',
    );
    expect(out).toMatch(/1\. +nodes on the LAN \(multicast DNS\) +not tried +turned off/);
    expect(out).toMatch(/2\. +nodes that it remembers +rejected +http:\/\/10\.0\.0\.9:7420: its proof is not of this fleet +12 ms/);
    expect(out).toMatch(/3\. +the cloud +no answer +https:\/\/control\.example: ETIMEDOUT +2000 ms$/m);
    expect(out).toMatch(/4\. +itself +found +epoch 4 was granted/);
    expect(out).toContain('so: this node leads its site');
    expect(JSON.parse(json.out)).toEqual(trace);
  });

  it('shows everybody who was asked or turned away, below the step', async () => {
    const { dir, remove } = await makeDataDir();
    const candidates = [
      { url: 'http://10.0.0.7:7420', node_id: 'node-7', outcome: 'found', detail: 'leads, epoch 3' },
      { url: 'http://10.0.0.66:7420', outcome: 'rejected', detail: 'its signature is\u001b[31m not of this fleet' },
    ];
    const step = { step: 'mdns', outcome: 'found', url: 'http://10.0.0.7:7420', detail: 'leads', candidates, duration_ms: 40 };
    await writeFile(join(dir, 'discovery-trace.json'), JSON.stringify({ ...trace, reason: 'takeover', steps: [step] }));
    const { out } = await run(['why', '--data-dir', dir]);
    await remove();
    expect(out).toContain('since its leader was gone');
    expect(out).toMatch(/^ +node-7 +found +http:\/\/10\.0\.0\.7:7420: leads, epoch 3$/m);
    expect(out).toMatch(/^ +somebody +rejected +http:\/\/10\.0\.0\.66:7420: its signature is not of this fleet$/m);
  });

  it('says where it looked when there is no trace, or one that is damaged', async () => {
    const { dir, remove } = await makeDataDir();
    const missing = await run(['why', '--data-dir', dir]);
    await writeFile(join(dir, 'discovery-trace.json'), '{"node_id":');
    const damaged = await run(['why', '--data-dir', dir]);
    await remove();
    expect(missing.code).toBe(1);
    expect(missing.err).toContain(join(dir, 'discovery-trace.json'));
    expect(damaged.code).toBe(1);
    expect(damaged.err).toContain('not readable');
  });
});
