import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Health } from '../../shared/contract/status.ts';
import { CEPH, openS3, type Store } from '../adapters/object-storage.s3.support.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { until } from '../support/until.ts';
import { type Fleet, type Member, openFleet } from './support/fleet-process.ts';

const PROFILE = parse(readFileSync(resolve('docs/examples/profile.yaml'), 'utf8'));
const why = whyNoRabbitMq() ?? CEPH.missing;

if (why !== undefined) test.skip(`nodes on RabbitMQ and S3 (${why})`, () => {});

describe.skipIf(why !== undefined)('nodes on RabbitMQ and S3', () => {
  let broker: RabbitMq;
  let store: Store;
  let fleet: Fleet;

  beforeAll(async () => {
    [broker, store] = await Promise.all([startRabbitMq(), CEPH.start()]);
    const { endpoint, access_key, secret_key } = store;
    const env = {
      MINIO_ENDPOINT: endpoint,
      MINIO_ACCESS_KEY: access_key,
      MINIO_SECRET_KEY: secret_key,
      AMQP_URL: broker.url(),
      RABBITMQ_MANAGEMENT_URL: broker.management_url,
    };
    fleet = await openFleet({ nodes: 2, env, args: () => ['--ttl-seconds', '6'] });
    for (const member of fleet.members) await member.start();
  });

  afterAll(async () => {
    await fleet?.close();
    await Promise.all([broker?.stop(), store?.stop()]);
  });

  test('the leader alone reconciles what both share, and each its own vector index', async () => {
    const leader = await fleet.settled();
    await leader.client.publish('profile', PROFILE, { if_match: 0 });
    const [follower] = fleet.members.filter((one) => one !== leader) as [Member];
    const own = await standing(leader, 'applied');
    expect(own.adapters).toEqual({ storage: 's3', broker: 'rabbitmq', vector: 'embedded' });
    const other = await standing(follower, 'skipped');
    expect(other.components?.broker).toMatchObject({
      status: 'skipped',
      message: `${leader.node_id} leads the site and reconciles this rabbitmq for it`,
    });
    expect(other.components?.vector?.status).toBe('applied');
    expect(await broker.list('list_queues', 'name')).toEqual(expect.arrayContaining(PROFILE.broker.queues.map(nameOf)));
    const storage = openS3(store);
    const names: string[] = PROFILE.storage.buckets.map(nameOf);
    expect((await storage.readBuckets(names)).map(nameOf).sort()).toEqual(names.sort());
    await storage.close();
    for (const member of fleet.members) expect(member.process?.output()).not.toContain(store.secret_key);
  });

  test('a node that comes back with an older profile does not bring it to what both share', async () => {
    const leader = await fleet.settled();
    const [follower] = fleet.members.filter((one) => one !== leader) as [Member];
    await follower.process?.end('SIGKILL');
    const [bucket, ...buckets] = PROFILE.storage.buckets;
    const moved = { ...PROFILE, storage: { buckets: [{ ...bucket, tags: { team: 'others' } }, ...buckets] } };
    await leader.client.publish('profile', moved, { if_match: 1 });
    const storage = openS3(store);
    const team = async () => (await storage.readBuckets([bucket.name]))[0]?.tags.team;
    await until('the newer profile is applied', async () => (await team()) === 'others');
    await follower.start();
    const seen = new Set<string | undefined>();
    await until('the other node has the newer profile', async () => {
      seen.add(await team());
      const health = await follower.health();
      return health?.components?.storage?.generation === 2 && health.components.storage.status === 'skipped';
    });
    expect([...seen, await team()]).toEqual(['others', 'others']);
    await storage.close();
  });

  test('the next leader takes that over', async () => {
    const leader = await fleet.settled();
    await leader.process?.end('SIGKILL');
    const next = await until('the next leader', async () => {
      const settled = await fleet.settled();
      return settled === leader ? undefined : settled;
    });
    await broker.ctl('delete_queue', nameOf(PROFILE.broker.queues[0]));
    await until('the queue is there again', async () =>
      (await broker.list('list_queues', 'name')).includes(nameOf(PROFILE.broker.queues[0])),
    );
    // It says so when all of the broker is done.
    await until('the broker is its own', async () => (await next.health())?.components?.broker?.status !== 'skipped');
  });
});

const nameOf = ({ name }: { readonly name: string }): string => name;

function standing(member: Member, storage: string): Promise<Health> {
  return until(`${member.node_id} says that storage is ${storage}`, async () => {
    const health = await member.health();
    const { storage: one, broker, vector } = health?.components ?? {};
    const isWhole = health?.status === 'ok' && broker !== undefined && vector !== undefined && broker.status !== 'pending';
    return one?.status === storage && isWhole ? health : undefined;
  });
}
