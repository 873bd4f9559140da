import { describe, expect, it } from 'vitest';
import type { BacklogConflicts, BacklogMove, ConflictAnswer, ConflictDecision } from '../../shared/contract/backlog-conflict.ts';
import { call, type Start } from './harness.ts';

const TAG = 'a'.repeat(64);
const PATH = '/v1/backlog/conflicts';
const FOUND: BacklogConflicts = {
  node_id: 'n1',
  externals: { storage: 's3 at http://192.0.2.9:9000' },
  conflicts: [
    {
      ...{ id: 'storage-7', component: 'storage', kind: 'object', place: 'data', key: 'a', reason: 'another is there', tag: TAG },
      since: '2026-01-01T00:00:00.000Z',
      ours: { size: 4, hash: 'b'.repeat(64) },
      theirs: { holds: true, size: 7 },
    },
  ],
};
const DONE = { node_id: 'n1', id: 'storage-7', keep: 'ours', message: 'done', decided_by: 'fleet-key (operator)' } as const;

export function backlogCases(start: Start): void {
  describe('conflicts of the backlog', () => {
    const open = async (answer: ConflictAnswer = DONE) => {
      const asked: object[] = [];
      const decisions: [ConflictDecision, string][] = [];
      const list = async (query: object) => {
        asked.push(query);
        return FOUND;
      };
      const resolve = async (decision: ConflictDecision, by: string) => {
        decisions.push([decision, by]);
        return answer;
      };
      const moves: [object, string][] = [];
      const move = async (request: BacklogMove, by: string) => {
        moves.push([request, by]);
        return { node_id: 'n1', component: request.component, moved: 2, decided_by: by };
      };
      const harness = await start({ conflicts: { list, resolve, move } });
      return { harness, asked, decisions, moves };
    };

    it('are listed, and that ends none', async () => {
      const { harness, asked, decisions } = await open();
      expect(await call(harness, `GET ${PATH}`)).toMatchObject({ status: 200, body: FOUND });
      await call(harness, `GET ${PATH}?component=vector&limit=3&after=vector-2`);
      await call(harness, `GET ${PATH}?id=storage-7`);
      expect(asked).toEqual([{ limit: 50 }, { component: 'vector', limit: 3, after: 'vector-2' }, { limit: 50, id: 'storage-7' }]);
      expect(decisions).toEqual([]);
      await harness.close();
    });

    it.each(['component=cloud', 'limit=0', 'limit=201', 'after=7', 'id=../../x'])('are not listed for %s', async (query) => {
      const { harness, asked } = await open();
      expect((await call(harness, `GET ${PATH}?${query}`)).body).toMatchObject({ code: 'invalid_parameter' });
      expect(asked).toEqual([]);
      await harness.close();
    });

    it('are ended by a decision, and it is known who took it', async () => {
      const { harness, decisions } = await open();
      const body = { id: 'storage-7', keep: 'ours', tag: TAG };
      expect(await call(harness, `POST ${PATH}/resolve`, { body })).toMatchObject({ status: 200, body: DONE });
      await call(harness, `POST ${PATH}/resolve`, { body: { id: 'storage-7', keep: 'external' } });
      expect(decisions).toEqual([
        [body, 'fleet-key (operator)'],
        [{ id: 'storage-7', keep: 'external' }, 'fleet-key (operator)'],
      ]);
      await harness.close();
    });

    it.each([
      ['no_such_conflict', 404],
      ['conflict_changed', 409],
      ['conflict_stays', 409],
      ['backend_away', 503],
    ] as const)('that stay answer with %s', async (code, status) => {
      const { harness } = await open({ refused: { code, detail: 'because' } });
      const reply = await call(harness, `POST ${PATH}/resolve`, { body: { id: 'storage-7', keep: 'external' } });
      expect(reply).toMatchObject({ status, body: { code, detail: 'because' } });
      await harness.close();
    });

    it.each([
      {},
      { id: 'storage-7' },
      { id: 'storage-7', keep: 'both' },
      { id: 'storage-7', keep: 'ours' },
      { id: 'storage-7', keep: 'ours', tag: 'short' },
      { id: 'storage-7', keep: 'external', tag: TAG },
      { id: 'cloud-7', keep: 'external' },
      [],
    ])('are not ended by %j', async (body) => {
      const { harness, decisions } = await open();
      const reply = await call(harness, `POST ${PATH}/resolve`, { body: JSON.stringify(body) });
      expect(reply).toMatchObject({ status: 400, body: { code: 'invalid_body' } });
      expect(decisions).toEqual([]);
      await harness.close();
    });

    it('are nothing for a node or a service, and nothing that another node passes on', async () => {
      const { harness, asked, decisions } = await open();
      const body = { id: 'storage-7', keep: 'external' };
      for (const as of [await harness.keys.nodeCredential('n1'), await harness.keys.serviceToken('n1', 'api')]) {
        expect((await call(harness, `GET ${PATH}`, { as })).status).toBe(403);
        expect((await call(harness, `POST ${PATH}/resolve`, { as, body })).status).toBe(403);
      }
      expect((await call(harness, `GET ${PATH}`, { as: null })).status).toBe(401);
      const headers = { 'bootplane-forwarded': '1' };
      expect((await call(harness, `GET ${PATH}`, { headers })).body).toMatchObject({ code: 'misdirected' });
      expect((await call(harness, `POST ${PATH}/resolve`, { body, headers })).body).toMatchObject({ code: 'misdirected' });
      expect([asked, decisions]).toEqual([[], []]);
      await harness.close();
    });

    it('for another external move to the one of now', async () => {
      const { harness, moves } = await open();
      const body = { component: 'storage', from: 'http://192.0.2.9:9000' };
      const reply = await call(harness, 'POST /v1/backlog/move', { body });
      expect(reply).toMatchObject({ status: 200, body: { node_id: 'n1', component: 'storage', moved: 2 } });
      expect(moves).toEqual([[body, 'fleet-key (operator)']]);
      for (const bad of [{}, { component: 'cloud', from: 'x' }, { component: 'storage', from: '' }])
        expect((await call(harness, 'POST /v1/backlog/move', { body: bad })).body).toMatchObject({ code: 'invalid_body' });
      const as = await harness.keys.nodeCredential('n1');
      expect((await call(harness, 'POST /v1/backlog/move', { as, body })).status).toBe(403);
      expect(moves).toHaveLength(1);
      await harness.close();
    });

    it('are not there where there is no external', async () => {
      const alone = await start();
      expect((await call(alone, `GET ${PATH}`)).body).toMatchObject({ code: 'not_found' });
      await alone.close();
    });
  });
}
