import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BacklogConflict, BacklogConflicts, ConflictDecision } from '../../shared/contract/backlog-conflict.ts';
import { problem } from '../../shared/contract/problem.ts';
import { type Site, startSite } from '../support/cli.ts';

const PATH = '/v1/backlog/conflicts';
const TAG = '0123'.repeat(16);
const OBJECT: BacklogConflict = {
  ...{ id: 'storage-7', component: 'storage', kind: 'object', place: 'data', key: 'a\u001b[31m', tag: TAG },
  reason: 'the external holds another object under this key',
  since: '2026-01-01T00:00:00.000Z',
  ours: { size: 4, hash: 'a'.repeat(64) },
  theirs: { holds: true, size: 7, hash: 'b'.repeat(64), modified_at: '2026-01-01T00:00:00.000Z' },
};
const LOST: BacklogConflict = {
  ...{ id: 'vector-3', component: 'vector', kind: 'vector', place: 'Frame', key: 'x', reason: 'nothing to bring over' },
  ours: { size: 9, missing: true },
  theirs: { holds: 'unknown', why: 'vector (weaviate at http://192.0.2.9) is away' },
};
const MESSAGE: BacklogConflict = {
  ...{ id: `broker-m${TAG}`, component: 'broker', kind: 'message', place: 'orders', key: 'm-1', reason: 'it has a header CC', tag: TAG },
  ours: { size: 1 },
};
const QUEUE: BacklogConflict = {
  ...{ id: 'broker-2', component: 'broker', kind: 'queue', place: '', key: '{"name":"mine"}', reason: 'another type', tag: TAG },
  ours: {},
};

let site: Site;
let posted: ConflictDecision[];
let queries: string[];
beforeEach(async () => {
  site = await startSite();
  posted = [];
  queries = [];
  site.own.set(`POST ${PATH}/resolve`, async (request: Request) => {
    const decision = (await request.json()) as ConflictDecision;
    posted.push(decision);
    const { id, keep } = decision;
    return Response.json({ node_id: 'n1', id, keep, message: `${id} is over`, decided_by: 'fleet-key (operator)' });
  });
});
afterEach(() => site.close());

/** Answers a query for one with that one alone, and two to a page. */
function holds(...conflicts: BacklogConflict[]): void {
  site.own.set(`GET ${PATH}`, (request: Request) => {
    const { searchParams } = new URL(request.url);
    queries.push(searchParams.toString());
    const id = searchParams.get('id');
    const from = conflicts.findIndex((one) => one.id === searchParams.get('after')) + 1;
    const some = id === null ? conflicts.slice(from, from + 2) : conflicts.filter((one) => one.id === id);
    const last = id === null && from + 2 < conflicts.length ? some.at(-1) : undefined;
    const externals = { storage: 's3 at http://192.0.2.9:9000', broker: 'rabbitmq at amqp://192.0.2.9' };
    const body: BacklogConflicts = { node_id: 'n1', externals, conflicts: some, ...(last === undefined ? {} : { next: last.id }) };
    return Response.json(body);
  });
}

const answering = (answer: string) => {
  const questions: string[] = [];
  const ask = async (question: string) => {
    questions.push(question);
    return answer;
  };
  return { ask, questions };
};

describe('bootplane backlog', () => {
  it('shows both sides of each conflict and how it ends, and exits with 2', async () => {
    holds(OBJECT, LOST);
    const now = () => Date.UTC(2026, 0, 1, 2);
    const { code, out, err } = await site.run(['backlog'], { now });
    expect([code, err]).toEqual([2, '']);
    expect(out).toContain('storage-7  storage: object data/a, 2 h ago\n      the external holds another object under this key\n');
    expect(out).toContain('      ours      4 bytes, sha256 aaaaaaaaaaaa…\n');
    expect(out).toContain('      external  7 bytes, sha256 bbbbbbbbbbbb…, written 2 h ago (s3 at http://192.0.2.9:9000)\n');
    expect(out).toContain('      ours      is not in the embedded default any more\n');
    expect(out).toContain("      external  can't be read now: vector (weaviate at http://192.0.2.9) is away (the external)\n");
    expect(out).toContain('bootplane backlog resolve ID --keep external');
    expect((await site.run(['backlog', 'conflicts'], { now })).out).toBe(out);
  });

  it('shows what the broker refuses, and that there are more', async () => {
    holds(MESSAGE, QUEUE, OBJECT);
    const { out } = await site.run(['backlog', '--component', 'broker']);
    expect(out).toContain('broker: message m-1 of queue orders');
    expect(out).toContain('broker: queue {"name":"mine"}');
    expect(out).toContain('There are more: bootplane backlog --after broker-2');
    await site.run(['backlog', '--after', 'broker-2']);
    expect(queries).toEqual(['limit=100&component=broker', 'limit=100&after=broker-2']);
  });

  it('exits with 0 when there is none, prints what came with --json, and says where there is no external', async () => {
    holds();
    expect(await site.run(['backlog'])).toEqual({ code: 0, out: 'no conflicts: nothing that waited was refused\n', err: '' });
    holds(OBJECT);
    expect(JSON.parse((await site.run(['backlog', '--json'])).out)).toMatchObject({ conflicts: [{ id: 'storage-7', tag: TAG }] });
    site.own.delete(`GET ${PATH}`);
    expect(await site.run(['backlog'])).toMatchObject({ code: 1, err: expect.stringContaining('has no external, so nothing waits there') });
  });
});

describe('bootplane backlog move', () => {
  const moved: unknown[] = [];
  const waits = (...identities: string[]) => {
    moved.length = 0;
    const elsewhere = identities.map((identity) => ({ component: 'storage', identity, waiting: 2 }));
    const body = { node_id: 'n1', externals: { storage: 's3 at http://new.example' }, conflicts: [] };
    site.own.set(`GET ${PATH}`, identities.length === 0 ? body : { ...body, elsewhere });
    site.own.set('POST /v1/backlog/move', async (request: Request) => {
      moved.push(await request.json());
      return Response.json({ node_id: 'n1', component: 'storage', moved: 2, decided_by: 'me' });
    });
  };

  it('shows what waits for another address, asks, and lets it go to the one of now', async () => {
    waits('http://old.example');
    const listed = await site.run(['backlog']);
    expect(listed).toMatchObject({
      code: 2,
      out: expect.stringContaining('storage: 2 wait for http://old.example; configured is s3 at http://new.example'),
    });
    expect(listed.out).toContain('bootplane backlog move');
    const { ask, questions } = answering('yes');
    expect(await site.run(['backlog', 'move'], { ask })).toMatchObject({
      code: 0,
      out: expect.stringContaining('storage: 2 wait for the one of now'),
    });
    expect(questions).toHaveLength(1);
    expect(moved).toEqual([{ component: 'storage', from: 'http://old.example' }]);
  });

  it('moves nothing without a yes, from an address that is not named, or where nothing waits', async () => {
    waits('http://old.example', 'http://older.example');
    expect(await site.run(['backlog', 'move', '--yes'])).toMatchObject({ code: 64, err: expect.stringContaining('name one with --from') });
    expect(await site.run(['backlog', 'move', '--from', 'http://old.example'])).toMatchObject({ code: 1 });
    expect(await site.run(['backlog', 'move', '--from', 'http://none.example', '--yes'])).toMatchObject({ code: 1 });
    expect(moved).toEqual([]);
    expect(await site.run(['backlog', 'move', '--from', 'http://older.example', '--yes', '--json'])).toMatchObject({ code: 0 });
    expect(moved).toEqual([{ component: 'storage', from: 'http://older.example' }]);
    waits();
    expect(await site.run(['backlog', 'move', '--yes'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('nothing waits for an address'),
    });
  });
});

describe('bootplane backlog resolve', () => {
  it('shows the conflict, asks, and sends what was shown', async () => {
    holds(OBJECT);
    const { ask, questions } = answering('y');
    const { code, out } = await site.run(['backlog', 'resolve', 'storage-7', '--keep', 'ours'], { ask });
    expect(code).toBe(0);
    expect(questions).toEqual(['Let ours take the place of object data/a? [y/N] ']);
    expect(out).toContain('ours      4 bytes');
    expect(out).toContain('storage-7: storage-7 is over\n');
    expect(posted).toEqual([{ id: 'storage-7', keep: 'ours', tag: TAG }]);
  });

  it('does nothing without a yes, or a terminal to ask on', async () => {
    holds(OBJECT);
    for (const answer of ['', 'n', 'ours']) {
      const { ask } = answering(answer);
      const ran = await site.run(['backlog', 'resolve', 'storage-7', '--keep', 'external'], { ask });
      expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('nothing was done') });
    }
    const ran = await site.run(['backlog', 'resolve', 'storage-7', '--keep', 'external']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('Add --yes') });
    expect(posted).toEqual([]);
    const done = await site.run(['backlog', 'resolve', 'storage-7', '--keep', 'external', '--yes', '--json']);
    expect(JSON.parse(done.out)).toEqual({ results: [{ id: 'storage-7', keep: 'external', message: 'storage-7 is over' }] });
    expect(posted).toEqual([{ id: 'storage-7', keep: 'external' }]);
  });

  it('ends all of them, on all pages', async () => {
    holds(MESSAGE, QUEUE, OBJECT, LOST);
    const { code } = await site.run(['backlog', 'resolve', '--all', '--keep', 'external', '--yes']);
    expect(code).toBe(0);
    expect(posted.map(({ id, keep }) => [id, keep])).toEqual([MESSAGE, QUEUE, OBJECT, LOST].map(({ id }) => [id, 'external']));
  });

  it('lets none be given up where ours was to be kept, and says which stay', async () => {
    holds(OBJECT, LOST);
    const { code, err } = await site.run(['backlog', 'resolve', '--all', '--keep', 'ours', '--yes']);
    expect(code).toBe(1);
    expect(err).toContain("vector-3: ours can't take that place now");
    expect(posted).toEqual([{ id: 'storage-7', keep: 'ours', tag: TAG }]);
    expect(await site.run(['backlog', 'resolve', 'vector-3', '--keep', 'ours', '--yes'])).toMatchObject({ code: 1 });
    expect(posted).toHaveLength(1);
  });

  it('goes on where one stays, and says why', async () => {
    holds(OBJECT, QUEUE);
    const body = problem('conflict_changed', 'something else is there');
    const headers = { 'content-type': 'application/problem+json' };
    const refuse = () => new Response(JSON.stringify(body), { status: 409, headers });
    const take = site.own.get(`POST ${PATH}/resolve`) as (request: Request) => Promise<Response>;
    site.own.set(`POST ${PATH}/resolve`, async (request: Request) =>
      ((await request.clone().json()) as ConflictDecision).id === 'storage-7' ? refuse() : take(request),
    );
    const { code, out } = await site.run(['backlog', 'resolve', '--all', '--keep', 'ours', '--yes']);
    expect(code).toBe(1);
    expect(out).toContain('storage-7: something else is there (conflict_changed)\nbroker-2: broker-2 is over\n');
    const one = await site.run(['backlog', 'resolve', 'storage-7', '--keep', 'ours', '--yes']);
    expect(one).toMatchObject({ code: 1, err: expect.stringContaining('Look at it again with `bootplane backlog`') });
  });

  it.each([
    [['resolve', '--keep', 'ours'], 'name one conflict, or say --all'],
    [['resolve', 'storage-7', '--all', '--keep', 'ours'], 'name one conflict, or say --all'],
    [['resolve', 'storage-7'], '--keep'],
    [['resolve', 'storage-7', '--keep', 'both'], 'external, ours'],
    [['resolve', '7', '--keep', 'ours'], 'as `bootplane backlog` shows it'],
    [['--component', 'cloud'], 'storage, broker, vector'],
    [['nonsense'], ''],
  ])('does not take %j', async (argv, words) => {
    holds(OBJECT);
    const { code, err } = await site.run(['backlog', ...argv]);
    expect(code).toBe(64);
    expect(err).toContain(words);
    expect(posted).toEqual([]);
  });

  it('says when there is no such conflict', async () => {
    holds(OBJECT);
    const ran = await site.run(['backlog', 'resolve', 'storage-8', '--keep', 'ours', '--yes']);
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('there is no conflict storage-8 on this node') });
  });
});
