import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { memoryBackends } from '../support/memory-environment.ts';
import { memoryOwnership } from '../support/memory-ownership.ts';
import { named, outcomes, pruneOn } from '../support/prune-world.ts';
import { classNames, dropClasses, openWeaviate, whyNoWeaviate } from '../support/weaviate.ts';

vi.setConfig({ testTimeout: 60_000 });
const why = whyNoWeaviate();

describe.skipIf(why !== undefined)(`prune on Weaviate${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let index: VectorIndex;
  let prefix: string;
  beforeAll(() => {
    index = openWeaviate();
  });
  beforeEach(() => {
    prefix = `Prune${randomUUID().slice(0, 8)}`;
  });
  afterAll(async () => {
    await dropClasses('Prune');
    await index?.close();
  });

  const profile = (...names: string[]) => ({ vector: { classes: names.map((name) => ({ name: prefix + name })) } });
  const ours = async () => (await classNames()).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const backends = () => {
    const { storage, bus } = memoryBackends();
    return { storage, bus, vector: index };
  };

  async function shrunk() {
    await index.ensureClass({ name: `${prefix}Theirs`, properties: [] });
    const node = pruneOn(backends());
    await node.apply(profile('Made', 'Filled', 'Theirs', 'Kept'));
    await index.upsert(`${prefix}Filled`, [{ id: randomUUID(), vector: [1, 0], meta: {} }]);
    await node.apply(profile('Kept'));
    return node;
  }

  test('removes what was made here when that is approved with what comes to it meanwhile', async () => {
    const node = await shrunk();
    const first = outcomes(await node.approve(await node.preview()));
    // Weaviate can't refuse to remove a class to which an object has just come.
    expect(first).toEqual({ [`remove-class class ${prefix}Made`]: 'kept', [`remove-class class ${prefix}Filled`]: 'kept' });
    const rest = await node.preview();
    expect(rest.components.at(-1)?.actions).toMatchObject([
      { evidence: { empty: true, unguarded: true } },
      { evidence: { empty: false, holds: { objects: 1 } } },
    ]);
    await node.approve(rest, true);
    expect((await ours()).toSorted()).toEqual(['Kept', 'Theirs']);
  });

  test('a leader that takes over finds by their marks the classes of the one before, and not one that was made anew', async () => {
    await shrunk();
    await index.removeClass(`${prefix}Made`);
    await index.ensureClass({ name: `${prefix}Made`, properties: [] });
    const next = pruneOn(backends(), { ownership: memoryOwnership() });
    next.node.former = { buckets: [], classes: ['Made', 'Filled', 'Theirs'].map((name) => prefix + name) };
    await next.apply(profile('Kept'));
    expect(named(await next.preview())).toEqual([`remove-class class ${prefix}Filled`]);
  });
});
