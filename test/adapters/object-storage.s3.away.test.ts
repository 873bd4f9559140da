import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { S3Storage } from '../../runtime-node/adapters/storage-s3/index.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { type Ceph, startCeph } from '../support/servers/ceph.ts';
import { systemClock } from '../support/system-clock.ts';
import { until } from '../support/until.ts';
import { CEPH, openS3, titled } from './object-storage.s3.support.ts';

const PART = 5 * 1024 * 1024;

describe.skipIf(CEPH.missing !== undefined)(`a store that goes away: ${titled(CEPH)}`, () => {
  let ceph: Ceph;
  let storage: S3Storage;
  beforeAll(async () => {
    ceph = await startCeph();
    storage = openS3(ceph, { part_size: PART });
    await storage.ensureBucket('kept');
  });
  afterAll(async () => {
    await storage?.close();
    await ceph?.stop();
  });
  const textOf = async (key: string) => new Response((await storage.get('kept', key)).body as BodyInit).text();

  test('is away while it is, and there again without anything to be done', async () => {
    await storage.put('kept', 'before', Buffer.from('before'));
    await ceph.killGateway();
    await expect(storage.put('kept', 'lost', Buffer.from('x'))).rejects.toMatchObject({ kind: 'backend_away' });
    await expect(storage.readBuckets(['kept'])).rejects.toMatchObject({ kind: 'backend_away' });
    await ceph.startGateway();
    expect(await textOf('before')).toBe('before');
    await expect(storage.head('kept', 'lost')).rejects.toMatchObject({ kind: 'no_such_key' });
    await storage.put('kept', 'lost', Buffer.from('found'));
    expect(await textOf('lost')).toBe('found');
  });

  test('a short absence is waited out', async () => {
    await ceph.killGateway();
    let starts: Promise<void> | undefined;
    // The pause between two attempts is as long as the gateway takes.
    const sleep: Clock['sleep'] = (ms, signal) => {
      if (ms >= 30_000) return systemClock.sleep(ms, signal);
      starts ??= ceph.startGateway();
      return starts;
    };
    const patient = openS3(ceph, { clock: { ...systemClock, sleep } });
    await patient.put('kept', 'patient', Buffer.from('patient'));
    await patient.close();
    expect(starts).toBeDefined();
    expect(await textOf('patient')).toBe('patient');
  });

  test('in the middle of a large object: the old one stays, whole, and the next upload stores the new one', async () => {
    await storage.put('kept', 'large', Buffer.from('old'));
    let sent = 0;
    const source = (stopAt: number) =>
      new ReadableStream<Uint8Array>({
        async pull(controller) {
          sent += 1;
          if (sent === stopAt) await ceph.killGateway();
          controller.enqueue(new Uint8Array(1024 * 1024).fill(sent));
          if (sent === 24) controller.close();
        },
      });
    await expect(storage.put('kept', 'large', source(18))).rejects.toMatchObject({ kind: 'backend_away' });
    await ceph.startGateway();
    await until('the store', () => storage.readBuckets(['kept']).then(() => true));
    expect(await textOf('large')).toBe('old');
    sent = 0;
    expect((await storage.put('kept', 'large', source(0))).size).toBe(24 * 1024 * 1024);
    expect((await storage.head('kept', 'large')).size).toBe(24 * 1024 * 1024);
  });
});
