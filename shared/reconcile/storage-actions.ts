import type { LifecycleRule } from '../contract/profile.ts';
import type { ActionOf } from './action.ts';

/** Every action that storage knows. */
export interface StorageActions {
  'ensure-bucket': { safety: 'add'; data: { bucket: string } };
  'enable-versioning': { safety: 'update'; data: { bucket: string } };
  'add-lifecycle-rules': { safety: 'add'; data: { bucket: string; rules: readonly LifecycleRule[] } };
  /** Rules that let objects live longer than before, or that cover fewer keys. */
  'extend-lifecycle-rules': { safety: 'update'; data: { bucket: string; rules: readonly LifecycleRule[] } };
  'update-tags': { safety: 'update'; data: { bucket: string; tags: Readonly<Record<string, string>> } };
  'versioning-unsupported': { safety: 'incompatible'; data: { bucket: string } };
  'lifecycle-unsupported': { safety: 'incompatible'; data: { bucket: string } };
  'tags-unsupported': { safety: 'incompatible'; data: { bucket: string } };
  'suspend-versioning': { safety: 'destroy'; data: { bucket: string } };
  /** A rule that would expire objects sooner, or expire keys that it did not cover. */
  'tighten-lifecycle-rule': { safety: 'destroy'; data: { bucket: string; rule: LifecycleRule } };
}

export type StorageAction = ActionOf<StorageActions>;

export const bucketSubject = (bucket: string) => `bucket ${bucket}`;
export const versioningSubject = (bucket: string) => `versioning of bucket ${bucket}`;
export const lifecycleSubject = (bucket: string) => `lifecycle of bucket ${bucket}`;
export const tagsSubject = (bucket: string) => `tags of bucket ${bucket}`;
