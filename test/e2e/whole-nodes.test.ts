import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Health } from '../../shared/contract/status.ts';
import { CONFIGURED, openS3, type Store } from '../adapters/object-storage.s3.support.ts';
import { type Ran, run } from '../support/cli.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { until } from '../support/until.ts';
import { classNames, openWeaviate, weaviateOptions, whyNoWeaviate } from '../support/weaviate.ts';
import { serviceOf } from './support/externals.ts';
import { type Fleet, type Member, openFleet } from './support/fleet-process.ts';
import { type Line, openLine } from './support/line.ts';

/** Both are named by the environment and shared with others: names of this run alone, and only those are looked at. */
const RUN = Date.now().toString(36);
const BUCKET = `whole-${RUN}`;
const FOREIGN = `foreign-${RUN}`;
const CLASS = `Whole${RUN}`;
const PROFILE = {
  storage: { buckets: [{ name: BUCKET, versioning: true, tags: { team: 'vision' } }] },
  broker: {
    exchanges: [{ name: 'frames', type: 'topic' }],
    queues: [{ name: 'all' }],
    bindings: [{ exchange: 'frames', queue: 'all', key: '#' }],
  },
  vector: { classes: [{ name: CLASS, dimensions: 3, properties: [{ name: 'n', type: 'int' }] }] },
};
const COUNT = 200;

const missing = whyNoWeaviate() ?? CONFIGURED.missing ?? whyNoRabbitMq();
const title = `whole nodes on MinIO, RabbitMQ and Weaviate${missing === undefined ? '' : ` (skipped: ${missing})`}`;

const text = (index: number) => `object ${index}`;
const near = (index: number) => [1, index + 1, (index * 7) % 11];
const numbers = Array.from({ length: COUNT }, (_, index) => index);

describe.skipIf(missing !== undefined)(title, () => {
  let store: Store;
  let broker: RabbitMq;
  let lines: readonly Line[];
  let fleet: Fleet;
  let leader: Member;

  beforeAll(async () => {
    [store, broker] = await Promise.all([CONFIGURED.start(), startRabbitMq()]);
    const { endpoint, access_key, secret_key, region } = store;
    const { url, api_key } = weaviateOptions();
    const [toStore, toBroker, toWeaviate] = await Promise.all([
      openLine(addressOf(endpoint)),
      openLine({ hostname: '127.0.0.1', port: broker.port }),
      openLine(addressOf(url)),
    ]);
    lines = [toStore, toBroker, toWeaviate];
    const env = {
      ...{ MINIO_ENDPOINT: `http://127.0.0.1:${toStore.port}`, MINIO_ACCESS_KEY: access_key, MINIO_SECRET_KEY: secret_key },
      ...(region === undefined ? {} : { MINIO_REGION: region }),
      ...{ AMQP_URL: broker.url({ port: toBroker.port }), RABBITMQ_MANAGEMENT_URL: broker.management_url },
      ...{ WEAVIATE_URL: `http://127.0.0.1:${toWeaviate.port}`, ...(api_key === undefined ? {} : { WEAVIATE_API_KEY: api_key }) },
    };
    fleet = await openFleet({ nodes: 2, env, args: () => ['--ttl-seconds', '6'] });
    for (const member of fleet.members) await member.start();
    leader = await fleet.settled();
  });

  afterAll(async () => {
    await fleet?.close();
    await Promise.all((lines ?? []).map((line) => line.close()));
    await broker?.stop();
    const storage = openS3(store);
    for (const bucket of [BUCKET, FOREIGN]) await storage.removeBucket(bucket);
    await Promise.all([storage.close(), openWeaviate().removeClass(CLASS)]);
  });

  const cli = (...argv: string[]): Promise<Ran> => run(argv, { env: { BOOTPLANE_DATA_DIR: leader.dataDir, BOOTPLANE_API_KEY: fleet.key } });
  const standing = (what: string, isSo: (health: Health) => boolean) =>
    until(what, async () => {
      const health = await leader.health();
      return health !== undefined && isSo(health) ? health : undefined;
    });
  const presence = (wanted: string) =>
    standing(`all three are ${wanted}`, ({ backlog = {} }) => {
      const all = Object.values(backlog);
      return all.length === 3 && all.every((one) => one.presence === wanted && (wanted === 'away' || one.waiting === 0));
    });

  it('bring all three to the profile, the leader for both, and a second apply finds nothing to do', async () => {
    await openS3(store).ensureBucket(FOREIGN);
    await leader.client.publish('profile', PROFILE, { if_match: 0 });
    const health = await standing('the profile is applied', ({ components = {} }) =>
      (['storage', 'broker', 'vector'] as const).every((name) => components[name]?.status === 'applied'),
    );
    expect(health.adapters).toEqual({ storage: 's3', broker: 'rabbitmq', vector: 'weaviate' });
    const [other] = fleet.members.filter((one) => one !== leader) as [Member];
    await until('the other node leaves it to the leader', async () => {
      const { components = {} } = (await other.health()) ?? {};
      return (['storage', 'broker', 'vector'] as const).every((name) => components[name]?.status === 'skipped');
    });
    expect((await openS3(store).readBuckets([BUCKET]))[0]).toMatchObject({ versioning: 'enabled', tags: { team: 'vision' } });
    expect(await broker.list('list_queues', 'name')).toContain('all');
    expect(await classNames()).toContain(CLASS);
    expect((await cli('diff')).code).toBe(0);
  });

  it('keep what services write while all three are away, and bring it over when they answer', async () => {
    const { objects, messages, vectors } = await serviceOf(leader, fleet.key);
    for (const line of lines) line.cut();
    // The body of the very first may be on its way when it is found out: then the caller sends it again.
    await until('the first object to be kept', () => objects.put(BUCKET, 'first', 'first'));
    await messages.publish('frames', { key: 'first', message_id: 'first' });
    await vectors.upsert(CLASS, [{ id: 'first', vector: near(0), meta: { n: 0 } }]);
    await presence('away');
    for (const index of numbers) {
      await objects.put(BUCKET, `raw/${index}`, text(index));
      await messages.publish('frames', { key: 'raw', message_id: `m${index}` });
    }
    await vectors.upsert(
      CLASS,
      numbers.map((index) => ({ id: `v${index}`, vector: near(index), meta: { n: index } })),
    );
    // As far as others are concerned, both of these ids were taken meanwhile.
    await objects.put(BUCKET, 'taken', 'ours');
    await objects.put(BUCKET, 'given-up', 'ours');
    await vectors.upsert(CLASS, [{ id: 'taken', vector: near(1), meta: { n: 1 } }]);
    for (const key of ['taken', 'given-up']) await openS3(store).put(BUCKET, key, new TextEncoder().encode('theirs'));
    await openWeaviate().upsert(CLASS, [{ id: 'taken', vector: near(2), meta: { n: 2 } }]);
    await leader.process?.end('SIGKILL');
    await leader.start();
    for (const line of lines) line.mend();
    await presence('present');
    const storage = openS3(store);
    for (const index of numbers) expect((await storage.head(BUCKET, `raw/${index}`)).size).toBe(text(index).length);
    await storage.close();
    expect(await broker.list('list_queues', 'name', 'messages')).toContain(`all\t${COUNT + 1}`);
    const weaviate = openWeaviate();
    const wanted = numbers.map((index) => ({ id: `v${index}`, vector: near(index), meta: { n: index } }));
    expect((await weaviate.findable(CLASS, wanted)).length).toBe(COUNT);
    expect(await weaviate.count(CLASS)).toBe(COUNT + 2);
  });

  it('show what was taken meanwhile, and a person ends it either way', async () => {
    expect(await leader.health()).toMatchObject({ status: 'degraded', backlog: { storage: { conflicts: 2 }, vector: { conflicts: 1 } } });
    const { conflicts } = JSON.parse((await cli('backlog', '--json')).out);
    const idOf = (key: string, component: string) =>
      conflicts.find((one: { key: string; component: string }) => one.key === key && one.component === component).id;
    const shown = await cli('backlog');
    expect(shown).toMatchObject({ code: 2, out: expect.stringContaining(`storage: object ${BUCKET}/taken`) });
    expect(shown.out).toContain(`vector: vector taken of class ${CLASS}`);
    expect(await cli('backlog', 'resolve', idOf('given-up', 'storage'), '--keep', 'external', '--yes')).toMatchObject({ code: 0 });
    expect(await cli('backlog', 'resolve', '--all', '--keep', 'ours', '--yes')).toMatchObject({ code: 0 });
    const { objects, vectors } = await serviceOf(leader, fleet.key);
    expect(await (await objects.get(BUCKET, 'taken'))?.text()).toBe('ours');
    expect(await (await objects.get(BUCKET, 'given-up'))?.text()).toBe('theirs');
    expect(await vectors.get(CLASS, 'taken')).toMatchObject({ meta: { n: 1 } });
    expect(await cli('backlog')).toMatchObject({ code: 0 });
    await standing('health is good again', ({ status }) => status === 'ok');
    expect((await cli('events')).out).toContain('resolve-conflict');
  });

  it('remove on all three what was approved, and nothing of others', async () => {
    // It was killed, so the other may lead now; what no broker keeps the maker of, who made it removes.
    await Promise.all(fleet.members.map((member) => (member === leader ? undefined : member.process?.end('SIGTERM'))));
    await standing('it leads again', ({ role }) => role === 'leader');
    await leader.client.publish('profile', { storage: { buckets: [{ name: `${BUCKET}-2` }] } }, { if_match: 1 });
    await standing('the smaller profile is applied', ({ components }) => components?.vector?.generation === 2);
    const { body } = await leader.client.prunePreview();
    const subjects = body.components.flatMap(({ backend, actions }) => actions.map(({ subject }) => `${backend} ${subject}`));
    expect(subjects).toEqual(
      expect.arrayContaining([`s3 bucket ${BUCKET}`, 'rabbitmq queue all', 'rabbitmq exchange frames', `weaviate class ${CLASS}`]),
    );
    expect(subjects.join()).not.toContain(FOREIGN);
    const pruned = await cli('prune', '--approve', body.hash ?? '', '--include-non-empty');
    expect(pruned, pruned.out + pruned.err).toMatchObject({ code: 0 });
    const storage = openS3(store);
    expect((await storage.readBuckets([BUCKET, FOREIGN])).map(({ name }) => name)).toEqual([FOREIGN]);
    await storage.removeBucket(`${BUCKET}-2`);
    await storage.close();
    expect(await broker.list('list_queues', 'name')).not.toContain('all');
    expect(await classNames()).not.toContain(CLASS);
    expect(leader.process?.output() ?? '').not.toContain(store.secret_key);
  });
});

function addressOf(url: string): { hostname: string; port: number } {
  const { hostname, port, protocol } = new URL(url);
  return { hostname, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) };
}
