import { describe, expect, it } from 'vitest';
import type { PruneAnswer, PrunePreview, PruneRequest } from '../../shared/contract/prune.ts';
import { call, type Start } from './harness.ts';

const HASH = 'a'.repeat(64);
const PREVIEW: PrunePreview = {
  node_id: 'n1',
  generation: 3,
  profile_hash: 'b'.repeat(64),
  hash: HASH,
  expires_in_seconds: 600,
  refused: [],
  components: [],
};
const DONE = { node_id: 'n1', generation: 3, hash: HASH, approved_by: 'fleet-key (operator)', results: [] };
const PATH = '/v1/reconcile/prune';

export function pruneCases(start: Start): void {
  describe('prune', () => {
    const open = async (answer: PruneAnswer = DONE) => {
      const runs: [PruneRequest, string][] = [];
      const run = async (request: PruneRequest, approved_by: string) => {
        runs.push([request, approved_by]);
        return answer;
      };
      const harness = await start({ prune: { preview: async () => PREVIEW, run } });
      return { harness, runs };
    };

    it('shows what could be removed, and runs nothing by that', async () => {
      const { harness, runs } = await open();
      expect(await call(harness, `GET ${PATH}`)).toMatchObject({ status: 200, body: PREVIEW });
      expect(runs).toEqual([]);
      await harness.close();
    });

    it('hands on what was approved, and who did', async () => {
      const { harness, runs } = await open();
      const body = { hash: HASH, include_non_empty: true };
      expect(await call(harness, `POST ${PATH}`, { body })).toMatchObject({ status: 200, body: DONE });
      expect(runs).toEqual([[body, 'fleet-key (operator)']]);
      await harness.close();
    });

    it.each(['prune_expired', 'prune_changed', 'prune_refused'] as const)('answers with %s as a conflict', async (code) => {
      const { harness } = await open({ refused: { code, detail: 'because' } });
      const reply = await call(harness, `POST ${PATH}`, { body: { hash: HASH } });
      expect(reply).toMatchObject({ status: 409, body: { code, detail: 'because', status: 409 } });
      await harness.close();
    });

    it.each([
      {},
      { hash: 'abc' },
      { hash: HASH.toUpperCase() },
      { hash: HASH, include_non_empty: 'yes' },
      { hash: HASH, all: true },
      [],
      'x',
    ])('takes nothing but a whole hash: %j', async (body) => {
      const { harness, runs } = await open();
      const reply = await call(harness, `POST ${PATH}`, { body: JSON.stringify(body) });
      expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
      expect(runs).toEqual([]);
      await harness.close();
    });

    it('is nothing for a node or a service, and nothing that another node passes on', async () => {
      const { harness, runs } = await open();
      const body = { hash: HASH };
      for (const as of [await harness.keys.nodeCredential('n1'), await harness.keys.serviceToken('n1', 'api')]) {
        expect((await call(harness, `GET ${PATH}`, { as })).status).toBe(403);
        expect((await call(harness, `POST ${PATH}`, { as, body })).status).toBe(403);
      }
      expect((await call(harness, `POST ${PATH}`, { as: null, body })).status).toBe(401);
      const reply = await call(harness, `POST ${PATH}`, { body, headers: { 'bootplane-forwarded': '1' } });
      expect(reply.body).toMatchObject({ code: 'misdirected' });
      expect(runs).toEqual([]);
      await harness.close();
    });

    it('is not there where there is no node', async () => {
      const alone = await start();
      expect((await call(alone, `GET ${PATH}`)).body).toMatchObject({ code: 'not_found' });
      expect((await call(alone, `POST ${PATH}`, { body: { hash: HASH } })).body).toMatchObject({ code: 'not_found' });
      await alone.close();
    });
  });
}
