import { createHash } from 'node:crypto';
import { connectServices } from '../../../runtime-node/services.ts';
import type { BacklogStatus, EnvironmentComponentName } from '../../../shared/contract/backlog.ts';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import type { Services } from '../../../shared/services/index.ts';
import { aws, whyNoAws } from '../../adapters/object-storage.s3.aws.ts';
import { type Ceph, startCeph, whyNoCeph } from '../../support/servers/ceph.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../../support/servers/rabbitmq.ts';
import type { Member } from './fleet-process.ts';

/** Why the servers or the tools of others that look into them can't be had here; undefined where they can. */
export const whyNoExternals = (): string | undefined => whyNoRabbitMq() ?? whyNoCeph() ?? whyNoAws();

/** A broker and a store that a test takes away and gives back. */
export interface Externals {
  readonly broker: RabbitMq;
  readonly store: Ceph;
  /** The settings of a node that uses them. */
  readonly env: Readonly<Record<string, string>>;
  /** Both die as if their machine lost power. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startExternals(): Promise<Externals> {
  const [broker, store] = await Promise.all([startRabbitMq(), startCeph()]);
  return {
    ...{ broker, store },
    env: {
      MINIO_ENDPOINT: store.endpoint,
      MINIO_ACCESS_KEY: store.access_key,
      MINIO_SECRET_KEY: store.secret_key,
      AMQP_URL: broker.url(),
      RABBITMQ_MANAGEMENT_URL: broker.management_url,
    },
    kill: async () => void (await Promise.all([broker.kill(), store.killGateway()])),
    start: async () => void (await Promise.all([broker.start(), store.startGateway()])),
    stop: async () => void (await Promise.all([broker.stop(), store.stop()])),
  };
}

/** As a service of the node would be connected. */
export async function serviceOf({ url, node_id }: Pick<Member, 'url' | 'node_id'>, key: string, service = 'hello'): Promise<Services> {
  const keys = await deriveFleetKeys('default', key);
  return connectServices({ url, token: await keys.serviceToken(node_id, service) });
}

export async function backlogOf(member: Member, component: EnvironmentComponentName): Promise<BacklogStatus | undefined> {
  return (await member.health())?.backlog?.[component];
}

/** The keys of a bucket with the MD5 of what they hold, as a foreign client sees them. */
export async function objectsIn(store: Ceph, bucket: string): Promise<Map<string, string>> {
  const listed = (await aws(store, 'list-objects-v2', '--bucket', bucket)) as { Contents?: { Key: string; ETag: string }[] } | undefined;
  return new Map((listed?.Contents ?? []).map(({ Key, ETag }) => [Key, ETag.replaceAll('"', '')]));
}

/** The ids of the messages of a queue in its order, as the management interface sees them. They stay there. */
export async function messagesIn({ management_url }: RabbitMq, queue: string): Promise<string[]> {
  const headers = { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ count: 1_000_000, ackmode: 'ack_requeue_true', encoding: 'auto' });
  const answer = await fetch(`${management_url}/api/queues/%2F/${queue}/get`, { method: 'POST', headers, body });
  if (!answer.ok) throw new Error(`the management interface answers ${answer.status}: ${await answer.text()}`);
  const messages = (await answer.json()) as { properties: { message_id: string } }[];
  return messages.map(({ properties }) => properties.message_id);
}

export const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** Runs `work` for 0 to `count - 1`, `width` at a time. */
export async function each(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
