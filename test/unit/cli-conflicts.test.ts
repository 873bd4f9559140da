import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SignedDocument, signDocument, toWire } from '../../shared/contract/document.ts';
import { call } from '../runtime/harness.ts';
import { type Site, startSite } from '../support/cli.ts';

const plan = (...names: string[]) => ({ services: names.map((name) => ({ name, version: '1', command: ['run', name] })) });

let site: Site;
beforeEach(async () => {
  site = await startSite();
});
afterEach(() => site.close());

async function publish(body: Record<string, unknown>, generation: number): Promise<void> {
  await call(site.harness, 'PUT /v1/cluster/plan', { body, headers: { 'if-match': `"${generation}"` } });
}

/** Ann published two versions on the other side of a partition, where generation 2 has `web` here. */
async function diverge(names: string[] = ['api', 'camera'], body: Record<string, unknown> = plan(...names)): Promise<SignedDocument> {
  await publish(plan('api'), 0);
  const { keys } = site.harness;
  const meta = { generation: 2, epoch: 1, published_by: 'ann', published_at: '2026-01-01T00:00:00.000Z' };
  const first = await call(site.harness, 'GET /v1/cluster/plan');
  const other = await signDocument(keys.documents, {
    kind: 'plan',
    fleet: 'default',
    body,
    meta: { ...meta, parent: first.body.hash },
  });
  await publish(plan('api', 'web'), 1);
  const { generation, hash } = other.meta;
  await call(site.harness, 'POST /v1/cluster/plan/versions', { body: { versions: [toWire(other)], current: { generation, hash } } });
  return other;
}

describe('bootplane conflicts', () => {
  it('says that there are none', async () => {
    expect(await site.run(['conflicts'])).toMatchObject({ code: 0, out: 'no open conflicts\n', err: '' });
    expect(JSON.parse((await site.run(['conflicts', '--json'])).out)).toEqual({ conflicts: [] });
  });

  it('shows what lost, to what, how they differ, and how to resolve it; exits with 2', async () => {
    const lost = await diverge();
    const { code, out } = await site.run(['conflicts', 'plan']);
    expect(code).toBe(2);
    const hash = lost.meta.hash.slice(0, 12);
    expect(out).toContain(`plan: generation 2 (${hash}), published`);
    expect(out).toContain('by ann, lost to');
    expect(out).toMatch(/generation 3 \([0-9a-f]{12}\), published .* by merge/);
    expect(out).toContain('services/camera');
    expect(out).toContain('services/web');
    expect(out).toContain('bootplane plan rollback 3');
    expect(out).toContain(`bootplane plan rollback 2 --hash ${hash}`);
    expect((await site.run(['conflicts'])).code).toBe(2);
    expect((await site.run(['conflicts', 'profile'])).code).toBe(0);
  });

  it('prints all differences for programs', async () => {
    const lost = await diverge(Array.from({ length: 20 }, (_, index) => `service-${index}`));
    const { code, out } = await site.run(['conflicts', '--json']);
    expect(code).toBe(2);
    const { conflicts } = JSON.parse(out);
    expect(conflicts).toMatchObject([{ kind: 'plan', generation: 2, hash: lost.meta.hash, published_by: 'ann', current_generation: 3 }]);
    expect(conflicts[0].changes.length).toBeGreaterThan(8);
    expect((await site.run(['conflicts'])).out).toContain('more; --json lists all');
  });

  it('shows one that this version of bootplane could not publish', async () => {
    await diverge([], { services: [], later: true });
    const { code, out, err } = await site.run(['conflicts']);
    expect({ code, err }).toEqual({ code: 2, err: '' });
    expect(out).toContain('later');
  });

  it('is resolved as it says: by publishing what is current once more', async () => {
    await diverge();
    const done = await site.run(['plan', 'rollback', '3', '--yes']);
    expect(done).toMatchObject({ code: 0 });
    expect(done.out).toContain('its conflicts are resolved');
    expect((await site.run(['conflicts'])).code).toBe(0);
    expect((await site.run(['plan', 'history'])).out).toContain('lost to another version after a partition');
  });

  it('is resolved as it says: by publishing what lost', async () => {
    const lost = await diverge();
    expect((await site.run(['plan', 'history'])).out).toContain('see `bootplane conflicts plan`');
    const read = await site.run(['plan', 'get', '--generation', '2', '--hash', lost.meta.hash.slice(0, 12), '--json']);
    expect(JSON.parse(read.out).hash).toBe(lost.meta.hash);
    expect((await site.run(['plan', 'rollback', '2', '--hash', lost.meta.hash.slice(0, 12), '--yes'])).code).toBe(0);
    expect((await site.run(['conflicts'])).code).toBe(0);
    expect(JSON.parse((await site.run(['plan', 'get', '--json'])).out)).toMatchObject({ generation: 4, hash: lost.meta.hash });
  });

  it('says what is wrong with what was asked', async () => {
    expect(await site.run(['conflicts', 'nonsense'])).toMatchObject({ code: 64, err: expect.stringContaining('there is no document') });
    await diverge();
    const none = await site.run(['plan', 'rollback', '2', '--hash', '0000', '--yes']);
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining('generation 2 has no version') });
    expect((await site.run(['plan', 'rollback', '2', '--hash', 'xyz', '--yes'])).code).toBe(64);
  });
});
