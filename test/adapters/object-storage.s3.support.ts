import { randomInt } from 'node:crypto';
import { createS3Storage, type S3Storage, type S3StorageOptions } from '../../runtime-node/adapters/storage-s3/index.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type Ceph, startCeph, whyNoCeph } from '../support/servers/ceph.ts';
import { systemClock } from '../support/system-clock.ts';

/** A store to test against, and how to come by it. */
export interface Store extends Pick<Ceph, 'endpoint' | 'access_key' | 'secret_key'> {
  readonly region?: string;
  stop(): Promise<void>;
}

export interface StoreKind {
  readonly name: string;
  /** Why it can't be had here; undefined where it can. */
  readonly missing: string | undefined;
  start(): Promise<Store>;
}

export const CEPH: StoreKind = { name: 'Ceph RGW', missing: whyNoCeph(), start: startCeph };

const { MINIO_ENDPOINT, MINIO_ACCESS_KEY, MINIO_SECRET_KEY, MINIO_REGION } = process.env;

/** Whatever the environment names. Buckets with names of the tests stay in it. */
export const CONFIGURED: StoreKind = {
  name: 'the store that MINIO_ENDPOINT names',
  missing:
    MINIO_ENDPOINT === undefined || MINIO_ACCESS_KEY === undefined || MINIO_SECRET_KEY === undefined
      ? 'MINIO_ENDPOINT names no store'
      : undefined,
  start: async () => ({
    endpoint: MINIO_ENDPOINT ?? '',
    access_key: MINIO_ACCESS_KEY ?? '',
    secret_key: MINIO_SECRET_KEY ?? '',
    ...(MINIO_REGION === undefined ? {} : { region: MINIO_REGION }),
    stop: async () => {},
  }),
};

/** The kind's name, with why it is skipped. */
export function titled({ name, missing }: StoreKind): string {
  return missing === undefined ? name : `${name} (skipped: ${missing})`;
}

export function openS3(
  store: Pick<Store, 'endpoint' | 'access_key' | 'secret_key'> & { readonly region?: string },
  options: Partial<S3StorageOptions> = {},
): S3Storage {
  const { endpoint, access_key, secret_key, region } = store;
  const parts = { clock: systemClock, random: seededRandom(randomInt(2 ** 32)), log: recordingLog() };
  return createS3Storage({ endpoint, access_key, secret_key, ...(region === undefined ? {} : { region }), ...parts, ...options });
}

/** Pauses between attempts take no time; an answer is late when the test says so. */
export function hastyClock(): Clock & { readonly pauses: number[]; late(): void } {
  const waiting = new Set<() => void>();
  const pauses: number[] = [];
  const sleep = (ms: number, signal?: AbortSignal) => {
    if (ms < 30_000) {
      pauses.push(ms);
      return Promise.resolve();
    }
    return new Promise<void>((wake) => {
      waiting.add(wake);
      signal?.addEventListener('abort', () => wake(), { once: true });
    });
  };
  return {
    ...systemClock,
    sleep,
    pauses,
    late: () => {
      for (const wake of waiting) wake();
    },
  };
}
