import type { EnvironmentProfile } from '../contract/profile.ts';
import type { ObjectStorage } from '../ports/object-storage.ts';
import { type Executors, plan } from './action.ts';
import type { EnvironmentComponent } from './component.ts';
import type { StorageActions } from './storage-actions.ts';
import { diffStorage } from './storage-diff.ts';

/** How each safe action of storage is done. */
export const storageExecutors: Executors<StorageActions, ObjectStorage> = {
  'ensure-bucket': (storage, { bucket }) => storage.ensureBucket(bucket),
  'enable-versioning': (storage, { bucket }) => storage.ensureVersioning(bucket, true),
  'add-lifecycle-rules': (storage, { bucket, rules }) => storage.ensureLifecycle(bucket, rules),
  'extend-lifecycle-rules': (storage, { bucket, rules }) => storage.ensureLifecycle(bucket, rules),
  'update-tags': (storage, { bucket, tags }) => storage.ensureTags(bucket, tags),
};

/** Storage as a component of the environment. Reads nothing when the profile names no bucket. */
export function storageComponent(storage: ObjectStorage): EnvironmentComponent {
  return {
    component: 'storage',
    backend: storage.backend.kind,
    ...(storage.capabilities.shared ? { shared_identity: storage.backend.identity } : {}),
    async plan({ storage: desired }: Partial<EnvironmentProfile>) {
      const names = (desired?.buckets ?? []).map(({ name }) => name);
      const actual = names.length === 0 ? [] : await storage.readBuckets(names);
      return plan<StorageActions, ObjectStorage>(diffStorage(desired, actual, storage.capabilities), storageExecutors, storage);
    },
  };
}
