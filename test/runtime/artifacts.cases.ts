import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../shared/contract/canonical.ts';
import { chunked } from '../conformance/artifact-store.suite.ts';
import { memoryArtifactStore } from '../support/memory-artifact-store.ts';
import { call, FLEET_KEY, type Harness, type Start } from './harness.ts';

/** Artifacts over the API, with a store in memory; and what a Supervisor without one says. */
export function artifactCases(start: Start): void {
  describe('artifacts', () => {
    const withStore = () => start({ artifacts: memoryArtifactStore(10_000) });
    const put = (harness: Harness, sha256: string, bytes: Uint8Array<ArrayBuffer>, as = FLEET_KEY) =>
      harness.fetch(`/v1/artifacts/${sha256}`, { method: 'PUT', body: bytes, headers: { authorization: `Bearer ${as}` } });
    const get = (harness: Harness, sha256: string, headers: Record<string, string> = {}, method = 'GET') =>
      harness.fetch(`/v1/artifacts/${sha256}`, { method, headers: { authorization: `Bearer ${FLEET_KEY}`, ...headers } });
    const fresh = async (size = 1000) => {
      const bytes = crypto.getRandomValues(new Uint8Array(size));
      return { bytes, sha256: await sha256Hex(bytes) };
    };

    it('an artifact comes back as it was pushed, whole and in ranges, and its head tells its size', async () => {
      const harness = await withStore();
      const { bytes, sha256 } = await fresh();
      const pushed = await put(harness, sha256, bytes);
      expect([pushed.status, await pushed.json()]).toEqual([201, expect.objectContaining({ sha256, size: 1000 })]);

      const whole = await get(harness, sha256);
      expect([whole.status, whole.headers.get('etag'), whole.headers.get('accept-ranges')]).toEqual([200, `"${sha256}"`, 'bytes']);
      expect([whole.headers.get('content-type'), whole.headers.get('content-length')]).toEqual(['application/octet-stream', '1000']);
      expect(new Uint8Array(await whole.arrayBuffer())).toEqual(bytes);

      const head = await get(harness, sha256, {}, 'HEAD');
      expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '1000', '']);

      const rest = await get(harness, sha256, { range: 'bytes=900-', 'if-range': `"${sha256}"` });
      expect([rest.status, rest.headers.get('content-range')]).toEqual([206, 'bytes 900-999/1000']);
      expect(new Uint8Array(await rest.arrayBuffer())).toEqual(bytes.subarray(900));
      await harness.close();
    });

    it.each([
      ['bytes=0-0', 206, 'bytes 0-0/1000'],
      ['bytes=10-19', 206, 'bytes 10-19/1000'],
      ['bytes=990-5000', 206, 'bytes 990-999/1000'],
      ['bytes=-100', 206, 'bytes 900-999/1000'],
      ['bytes=-5000', 206, 'bytes 0-999/1000'],
      ['bytes=1000-', 416, 'bytes */1000'],
      ['bytes=-0', 416, 'bytes */1000'],
      ['bytes=5-4', 200, null],
      ['bytes=-', 200, null],
      ['bytes=0-1,5-6', 200, null],
      ['lines=0-1', 200, null],
    ])('Range: %s is answered with %d', async (range, status, contentRange) => {
      const harness = await withStore();
      const { bytes, sha256 } = await fresh();
      await put(harness, sha256, bytes);
      const answer = await get(harness, sha256, { range });
      expect([answer.status, answer.headers.get('content-range')]).toEqual([status, contentRange]);
      if (status === 200) expect((await answer.arrayBuffer()).byteLength).toBe(1000);
      else await answer.body?.cancel();
      await harness.close();
    });

    it('If-Range of something else gives the whole', async () => {
      const harness = await withStore();
      const { bytes, sha256 } = await fresh();
      await put(harness, sha256, bytes);
      const answer = await get(harness, sha256, { range: 'bytes=900-', 'if-range': '"another"' });
      expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([200, 1000]);
      await harness.close();
    });

    it('a body with another hash is refused and not kept', async () => {
      const harness = await withStore();
      const { bytes } = await fresh();
      const { sha256 } = await fresh();
      const answer = await put(harness, sha256, bytes);
      expect([answer.status, await answer.json()]).toEqual([422, expect.objectContaining({ code: 'artifact_mismatch' })]);
      expect((await call(harness, `GET /v1/artifacts/${sha256}`)).body).toMatchObject({ code: 'no_artifact', status: 404 });
      await harness.close();
    });

    it('a body that is too large is refused, and pushing what is there is 200', async () => {
      const harness = await withStore();
      const big = await fresh(10_001);
      const headers = { authorization: `Bearer ${FLEET_KEY}` };
      const init = { method: 'PUT', body: chunked(big.bytes), headers, duplex: 'half' } as RequestInit;
      const answer = await harness.fetch(`/v1/artifacts/${big.sha256}`, init);
      expect([answer.status, await answer.json()]).toEqual([413, expect.objectContaining({ code: 'too_large' })]);
      const { bytes, sha256 } = await fresh();
      await put(harness, sha256, bytes);
      const again = await put(harness, sha256, bytes);
      expect([again.status, await again.json()]).toEqual([200, expect.objectContaining({ sha256, size: 1000 })]);
      await harness.close();
    });

    it('only the operator pushes; any credential of the fleet reads; nobody without one', async () => {
      const harness = await withStore();
      const { bytes, sha256 } = await fresh();
      const node = await harness.keys.nodeCredential('n1');
      const refused = await put(harness, sha256, bytes, node);
      expect([refused.status, await refused.json()]).toEqual([403, expect.objectContaining({ code: 'forbidden' })]);
      await put(harness, sha256, bytes);
      expect((await call(harness, `HEAD /v1/artifacts/${sha256}`, { as: node })).status).toBe(200);
      expect((await call(harness, `GET /v1/artifacts/${sha256}`, { as: null })).status).toBe(401);
      expect((await call(harness, 'GET /v1/artifacts/nonsense')).body).toMatchObject({ code: 'invalid_parameter' });
      const { body } = await call(harness, 'GET /v1/artifacts?limit=1000', { as: node });
      expect(body.artifacts).toContainEqual(expect.objectContaining({ sha256, size: 1000 }));
      expect((await call(harness, 'GET /v1/artifacts?limit=0')).status).toBe(400);
      await harness.close();
    });

    it('a Supervisor without a store says so', async () => {
      const harness = await start();
      const { bytes, sha256 } = await fresh();
      for (const request of [`GET /v1/artifacts/${sha256}`, 'GET /v1/artifacts']) {
        expect((await call(harness, request)).body).toMatchObject({ code: 'no_artifact_store', status: 501 });
      }
      const pushed = await put(harness, sha256, bytes);
      expect([pushed.status, await pushed.json()]).toEqual([501, expect.objectContaining({ code: 'no_artifact_store' })]);
      await harness.close();
    });
  });
}
