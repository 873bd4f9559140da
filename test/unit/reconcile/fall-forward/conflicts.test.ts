import { describe, expect, it } from 'vitest';
import type { EnvironmentComponentName } from '../../../../shared/contract/backlog.ts';
import type { BacklogConflict } from '../../../../shared/contract/backlog-conflict.ts';
import type { BootstrapEvent } from '../../../../shared/contract/event.ts';
import type { ConflictDesk, Decided } from '../../../../shared/reconcile/fall-forward/conflict-desk.ts';
import { createConflicts } from '../../../../shared/reconcile/fall-forward/conflicts.ts';
import type { Forwards } from '../../../../shared/reconcile/fall-forward/types.ts';
import { recordingLog } from '../../../support/recording-log.ts';

function conflictsOf(component: EnvironmentComponentName, count: number): BacklogConflict[] {
  return Array.from({ length: count }, (_, index) => ({
    ...{ id: `${component}-${index + 1}`, component, kind: 'object', place: 'data', key: `${index + 1}`, reason: 'why', ours: {} },
  }));
}

function node(held: Partial<Record<EnvironmentComponentName, number>>, decided: Decided = { message: 'done' }) {
  const events: BootstrapEvent[] = [];
  const log = recordingLog();
  const forwards = Object.fromEntries(
    Object.entries(held).map(([name, count]) => {
      const all = conflictsOf(name as EnvironmentComponentName, count);
      const desk: ConflictDesk = {
        async list(limit, after) {
          const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
          return all.slice(from, from + limit);
        },
        find: async (id) => all.find((one) => one.id === id),
        resolve: async () => decided,
      };
      const others = { list: async () => [{ identity: 'http://old.example', waiting: 2 }], move: async () => 2 };
      return [name, { others, conflicts: desk, external: { backend: { kind: 's3', identity: `http://${name}.example` } } }];
    }),
  ) as unknown as Forwards;
  let moves = 0;
  const moved = async () => {
    moves += 1;
  };
  const conflicts = createConflicts({ node_id: 'n1', forwards, log, moved, report: (event) => void events.push(event) });
  return { conflicts, events, log, moves: () => moves };
}

describe('the conflicts of a node', () => {
  it('come one component after the other, page by page, each once', async () => {
    const { conflicts } = node({ storage: 3, vector: 2 });
    const seen: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await conflicts.list({ limit: 2, ...(after === undefined ? {} : { after }) });
      seen.push(...page.conflicts.map(({ id }) => id));
      after = page.next;
      if (after === undefined) break;
    }
    expect(seen).toEqual(['storage-1', 'storage-2', 'storage-3', 'vector-1', 'vector-2']);
  });

  it('are those of one component, or one alone, with the externals that they are about', async () => {
    const { conflicts } = node({ storage: 3, vector: 2 });
    const some = await conflicts.list({ component: 'vector', limit: 10 });
    expect(some.conflicts.map(({ id }) => id)).toEqual(['vector-1', 'vector-2']);
    expect(some).not.toHaveProperty('next');
    expect(some.externals).toEqual({ storage: 's3 at http://storage.example', vector: 's3 at http://vector.example' });
    expect((await conflicts.list({ id: 'storage-2', limit: 10 })).conflicts.map(({ id }) => id)).toEqual(['storage-2']);
    for (const id of ['storage-9', 'broker-1']) expect((await conflicts.list({ id, limit: 10 })).conflicts).toEqual([]);
  });

  it('end with an event and a line of the log that name who decided', async () => {
    const { conflicts, events, log } = node({ storage: 1 }, { message: 'data/1: s3 holds ours now' });
    const answer = await conflicts.resolve({ id: 'storage-1', keep: 'ours', tag: 'a'.repeat(64) }, 'fleet-key (operator)');
    expect(answer).toEqual({
      ...{ node_id: 'n1', id: 'storage-1', keep: 'ours', message: 'data/1: s3 holds ours now', decided_by: 'fleet-key (operator)' },
    });
    expect(events).toEqual([
      { node_id: 'n1', component: 'storage', action: 'resolve-conflict', status: 'applied', message: expect.stringContaining('fleet-key') },
    ]);
    expect(log.lines).toMatchObject([{ level: 'info', message: expect.stringContaining('data/1: s3 holds ours now') }]);
  });

  it('come with what waits for other externals, which moves when a person says so', async () => {
    const { conflicts, events, moves } = node({ storage: 0 });
    expect((await conflicts.list({ limit: 10 })).elsewhere).toEqual([{ component: 'storage', identity: 'http://old.example', waiting: 2 }]);
    expect(await conflicts.move({ component: 'storage', from: 'http://old.example' }, 'me')).toMatchObject({ moved: 2, decided_by: 'me' });
    expect(events).toMatchObject([{ action: 'move-backlog', message: expect.stringContaining('http://old.example') }]);
    expect(moves()).toBe(1);
    expect(await conflicts.move({ component: 'vector', from: 'http://old.example' }, 'me')).toMatchObject({ moved: 0 });
    expect(moves()).toBe(1);
  });

  it('that stay are told to nobody but who asked', async () => {
    const refused = { refused: { code: 'conflict_changed', detail: 'look again' } } as const;
    const { conflicts, events } = node({ storage: 1 }, refused);
    expect(await conflicts.resolve({ id: 'storage-1', keep: 'external' }, 'me')).toEqual(refused);
    expect(await conflicts.resolve({ id: 'broker-1', keep: 'external' }, 'me')).toMatchObject({ refused: { code: 'no_such_conflict' } });
    expect(events).toEqual([]);
  });
});
