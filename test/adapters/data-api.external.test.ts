import { afterAll, beforeAll, describe, test } from 'vitest';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import type { EventBus } from '../../shared/ports/event-bus.ts';
import type { ObjectStorage } from '../../shared/ports/object-storage.ts';
import { dataCases } from '../runtime/data.cases.ts';
import type { DataPortsUnderTest } from '../runtime/data.harness.ts';
import { recordingLog } from '../support/recording-log.ts';
import { type RabbitMq, startRabbitMq, whyNoRabbitMq } from '../support/servers/rabbitmq.ts';
import { systemClock } from '../support/system-clock.ts';
import { rabbitBus } from './event-bus.rabbitmq.support.ts';
import { CEPH, openS3, type Store } from './object-storage.s3.support.ts';

const why = whyNoRabbitMq() ?? CEPH.missing;

if (why !== undefined) test.skip(`the data API over RabbitMQ and S3 (${why})`, () => {});

describe.skipIf(why !== undefined)('the data API over RabbitMQ and S3', () => {
  let broker: RabbitMq;
  let store: Store;
  beforeAll(async () => {
    [broker, store] = await Promise.all([startRabbitMq(), CEPH.start()]);
  });
  afterAll(() => Promise.all([broker.stop(), store.stop()]));

  /** The servers are shared by all cases: each leaves them as it found them. */
  dataCases(async (): Promise<DataPortsUnderTest> => {
    const storage = openS3(store);
    const openBus = () => rabbitBus({ url: broker.url(), management_url: broker.management_url });
    const bus = openBus();
    const vector = createEmbeddedIndex({ log: recordingLog() });
    const dispose = async () => {
      await emptyBucket(storage, 'captures');
      await Promise.all([storage.close(), bus.close(), vector.close()]);
      // What a case took and did not settle is back only now.
      const cleaner = openBus();
      await emptyQueue(cleaner, 'frames');
      await cleaner.close();
    };
    return { storage, bus, vector, elapse: (ms) => systemClock.sleep(ms), dispose };
  });
});

async function emptyBucket(storage: ObjectStorage, bucket: string): Promise<void> {
  const { objects } = await storage.list(bucket);
  for (const { key } of objects) await storage.delete(bucket, key);
}

async function emptyQueue(bus: EventBus, queue: string): Promise<void> {
  for (const { token } of await bus.receive(queue, { limit: 100 })) await bus.ack(queue, token);
}
