import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openSqlite } from '../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../runtime-node/adapters/sqlite-migrations.ts';
import { documentHash } from '../../shared/contract/canonical.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { headOf, relate } from '../../shared/decide/merge.ts';
import { publish, seed } from '../../shared/supervisor/documents.ts';
import { ProblemError } from '../../shared/supervisor/problem.ts';
import { createDocumentStore, type DocumentStore } from '../../shared/supervisor/store/documents.ts';
import { createEmergencyStore } from '../../shared/supervisor/store/emergencies.ts';
import { createVerifiedDocuments } from '../../shared/supervisor/verified-documents.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const migrations = readMigrations(new URL('../../migrations', import.meta.url).pathname);
const keys = await deriveFleetKeys('fleet', 'a fleet key that is only for tests');
const clock = new SimulatedClock();
const OPTIONS = { dry_run: false, allow_empty: true, published_by: 'test', site: 'default' };

const bodyOf = (letter: string) => ({ services: letter === '' ? [] : [{ name: letter, version: '1', command: ['x'] }] });
const letter = fc.constantFrom('', 'a', 'b', 'c');
const step = fc.oneof(
  fc.record({ kind: fc.constant('publish' as const), letter, behind: fc.constantFrom(0, 0, 0, 1, 2) }),
  fc.record({ kind: fc.constant('seed' as const), letter }),
  // Two that read the same current version and publish on it at once.
  fc.record({ kind: fc.constant('race' as const), letter, other: letter }),
);

async function tryPublish(
  store: DocumentStore,
  body: ReturnType<typeof bodyOf>,
  generation: number,
): Promise<'changed' | 'same' | 'moved'> {
  try {
    const { answer } = await publish(store, clock, keys, 'plan', body, { ...OPTIONS, if_match: { generation, hash_prefix: '' } });
    return answer.changed ? 'changed' : 'same';
  } catch (error) {
    if (error instanceof ProblemError && error.problem.code === 'generation_moved') return 'moved';
    throw error;
  }
}

/** What the current version should be: undefined before the first. */
interface Model {
  readonly generation: number;
  readonly letter: string;
}

describe('publishing and seeding in any order', () => {
  test('counts up by one, keeps an unbroken chain of parents, and serves what was put in last', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
        const database = openSqlite({ path: ':memory:', clock, migrations });
        const store = createDocumentStore(database);
        let model: Model | undefined;
        const apply = (text: string, outcome: string): void => {
          if (outcome === 'changed') model = { generation: (model?.generation ?? 0) + 1, letter: text };
        };
        for (const one of steps) {
          const generation: number = model?.generation ?? 0;
          const isSame = (text: string) => model !== undefined && model.generation > 0 && model.letter === text;
          if (one.kind === 'seed') {
            const { outcome } = await seed(store, clock, keys, 'plan', bodyOf(one.letter));
            const expected = generation > 0 ? 'superseded' : model?.letter === one.letter ? 'unchanged' : 'seeded';
            expect(outcome).toBe(expected);
            if (outcome === 'seeded') model = { generation: 0, letter: one.letter };
          } else if (one.kind === 'publish') {
            const outcome = await tryPublish(store, bodyOf(one.letter), generation - one.behind);
            expect(outcome).toBe(one.behind > 0 ? 'moved' : isSame(one.letter) ? 'same' : 'changed');
            apply(one.letter, outcome);
          } else {
            const outcomes = await Promise.all([one.letter, one.other].map((text) => tryPublish(store, bodyOf(text), generation)));
            const changed = [one.letter, one.other].filter((_, index) => outcomes[index] === 'changed');
            expect(changed.length).toBe(isSame(one.letter) && isSame(one.other) ? 0 : 1);
            for (const text of changed) apply(text, 'changed');
          }
        }
        const head = await store.head('fleet', 'plan');
        const versions = await store.history('fleet', 'plan', 100);
        expect(head?.generation).toBe(model?.generation);
        expect(versions.map(({ generation }) => generation)).toEqual(versions.map((_, index) => (head?.generation ?? 0) - index));
        for (const [index, version] of versions.entries()) expect(version.parent).toBe(versions[index + 1]?.hash ?? null);
        expect(versions.map(({ current }) => current)).toEqual(versions.map((_, index) => (index === 0 ? 1 : 0)));
        if (head !== undefined && model !== undefined) {
          expect(head.hash).toBe(await documentHash(bodyOf(model.letter)));
          const { document } = await createVerifiedDocuments(store, createEmergencyStore(database)).get(keys, 'plan', head);
          expect(document.body).toEqual(bodyOf(model.letter));
          // Whoever stopped listening anywhere on the way finds that what is current now descends from what it holds.
          const chain = versions.map(({ generation, hash, parent }) => ({ generation, hash, parent: parent ?? undefined }));
          for (let from = 1; from < chain.length; from += 1) {
            expect(relate(chain.slice(from), chain)).toEqual({ relation: 'descends', newer: 'theirs' });
          }
          expect(headOf(chain)?.generation).toBe(head.generation);
        }
        await database.close();
      }),
      { numRuns: 60 },
    );
  });
});
