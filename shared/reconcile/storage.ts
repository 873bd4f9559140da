import type { EnvironmentProfile } from '../contract/profile.ts';
import type { ObjectStorage } from '../ports/object-storage.ts';
import { type Executors, plan } from './action.ts';
import type { EnvironmentComponent } from './component.ts';
import { type BackendMaker, marksOfStorage } from './ownership.ts';
import type { StorageActions } from './storage-actions.ts';
import { diffStorage } from './storage-diff.ts';

/** How each safe action of storage is done. */
export const storageExecutors = executorsFor();

function executorsFor(made_by?: string): Executors<StorageActions, ObjectStorage> {
  return {
    'ensure-bucket': (storage, { bucket }) => storage.ensureBucket(bucket, made_by === undefined ? {} : { made_by }),
    'enable-versioning': (storage, { bucket }) => storage.ensureVersioning(bucket, true),
    'add-lifecycle-rules': (storage, { bucket, rules }) => storage.ensureLifecycle(bucket, rules),
    'extend-lifecycle-rules': (storage, { bucket, rules }) => storage.ensureLifecycle(bucket, rules),
    'update-tags': (storage, { bucket, tags }) => storage.ensureTags(bucket, tags),
  };
}

/** Storage as a component of the environment. Reads nothing when the profile names no bucket. `maker` keeps what it makes. */
export function storageComponent(storage: ObjectStorage, maker?: BackendMaker): EnvironmentComponent {
  const executors = executorsFor(maker?.made_by);
  return {
    component: 'storage',
    backend: storage.backend.kind,
    ...(storage.capabilities.shared ? { shared_identity: storage.backend.identity } : {}),
    async plan({ storage: desired }: Partial<EnvironmentProfile>) {
      const names = (desired?.buckets ?? []).map(({ name }) => name);
      const actual = names.length === 0 ? [] : await storage.readBuckets(names);
      const actions = diffStorage(desired, actual, storage.capabilities);
      return plan<StorageActions, ObjectStorage>(actions, executors, storage, async (action) => maker?.keep(marksOfStorage(action)));
    },
  };
}
