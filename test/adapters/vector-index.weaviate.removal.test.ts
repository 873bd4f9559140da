import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VectorIndex } from '../../shared/ports/vector-index.ts';
import { classNames, dropClasses, openWeaviate, weaviateCall, whyNoWeaviate } from '../support/weaviate.ts';

const why = whyNoWeaviate();

describe.skipIf(why !== undefined)(`removals in a real Weaviate${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  const run = `Removal${randomUUID().slice(0, 8)}`;
  let index: VectorIndex;
  beforeAll(() => {
    index = openWeaviate();
  });
  afterAll(async () => {
    await index.close();
    await dropClasses(run);
  });
  const describedAs = async (name: string) => ((await weaviateCall('GET', `/v1/schema/${name}`)) as { description?: string }).description;
  const makerOf = async (name: string) => (await index.readClasses([name]))[0]?.made_by;

  it('the record of the maker is in the description, and one of others is left alone', async () => {
    const [ours, foreign] = [`${run}Ours`, `${run}Foreign`];
    await index.ensureClass({ name: ours, properties: [] }, { made_by: 'bootplane:f1' });
    await weaviateCall('POST', '/v1/schema', { class: foreign, vectorizer: 'none', description: 'made-by hand' });
    await index.ensureClass({ name: foreign, properties: [] }, { made_by: 'bootplane:f1' });
    expect(await describedAs(ours)).toBe('Made by bootplane: made-by=bootplane:f1');
    expect(await describedAs(foreign)).toBe('made-by hand');
    expect([await makerOf(ours), await makerOf(foreign)]).toEqual(['bootplane:f1', undefined]);
  });

  it('a class that others filled, or keep by tenant, is not taken for empty', async () => {
    const [full, tenants] = [`${run}Full`, `${run}Tenants`];
    await weaviateCall('POST', '/v1/schema', { class: full, vectorizer: 'none' });
    await weaviateCall('POST', '/v1/objects', { class: full, id: randomUUID(), vector: [1, 2] });
    await weaviateCall('POST', '/v1/schema', { class: tenants, vectorizer: 'none', multiTenancyConfig: { enabled: true } });
    for (const name of [full, tenants]) {
      await expect(index.removeClass(name, { if_empty: true })).rejects.toMatchObject({ kind: 'not_empty' });
    }
    await index.removeClass(full);
    expect((await classNames()).filter((name) => name === full || name === tenants)).toEqual([tenants]);
  });
});
