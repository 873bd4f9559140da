import type { Bucket, LifecycleRule, StorageProfile } from '../contract/profile.ts';
import type { BucketState, StorageCapabilities } from '../ports/object-storage.ts';
import { bucketSubject, lifecycleSubject, type StorageAction, tagsSubject, versioningSubject } from './storage-actions.ts';

/**
 * What separates the buckets that exist from the wanted ones, in the order of the specification:
 * bucket, versioning, lifecycle, tags. Buckets, rules and tags that `desired` does not name are left
 * alone; without a desired document there is nothing to do. Linear in the size of both.
 */
export function diffStorage(
  desired: StorageProfile | undefined,
  actual: readonly BucketState[],
  capabilities: StorageCapabilities,
): StorageAction[] {
  const found = new Map(actual.map((bucket) => [bucket.name, bucket]));
  const pairs = (desired?.buckets ?? []).map(
    (wanted): Pair => ({ wanted, is: found.get(wanted.name) ?? missing(wanted.name), capabilities }),
  );
  return [
    ...pairs.filter(({ wanted }) => !found.has(wanted.name)).map(({ wanted }) => makeBucket(wanted)),
    ...pairs.flatMap(diffVersioning),
    ...pairs.flatMap(diffLifecycle),
    ...pairs.flatMap(diffTags),
  ];
}

interface Pair {
  readonly wanted: Bucket;
  readonly is: BucketState;
  readonly capabilities: StorageCapabilities;
}

function missing(name: string): BucketState {
  return { name, versioning: 'off', lifecycle: [], tags: {} };
}

function makeBucket({ name }: Bucket): StorageAction {
  return { kind: 'ensure-bucket', safety: 'add', subject: bucketSubject(name), after: { name }, data: { bucket: name }, needs: [] };
}

function diffVersioning({ wanted, is, capabilities }: Pair): StorageAction[] {
  if (wanted.versioning === undefined || wanted.versioning === (is.versioning === 'enabled')) return [];
  const bucket = wanted.name;
  const about = { subject: versioningSubject(bucket), before: is.versioning, data: { bucket }, needs: [bucketSubject(bucket)] };
  if (!wanted.versioning) {
    if (is.versioning !== 'enabled') return [];
    const detail =
      'suspending versioning makes overwrites and deletes final: left enabled; if that is meant, approve it with `bootplane prune`';
    return [{ ...about, kind: 'suspend-versioning', safety: 'destroy', after: 'suspended', detail }];
  }
  if (capabilities.versioning) return [{ ...about, kind: 'enable-versioning', safety: 'update', after: 'enabled' }];
  const detail = 'this storage keeps no versions: use another storage or take versioning out of the profile';
  return [{ ...about, kind: 'versioning-unsupported', safety: 'incompatible', after: 'enabled', detail }];
}

function diffLifecycle({ wanted, is, capabilities }: Pair): StorageAction[] {
  if (wanted.lifecycle.length === 0) return [];
  const bucket = wanted.name;
  const sorted = sortRules(wanted.lifecycle, is.lifecycle);
  if (!capabilities.lifecycle) {
    const detail = 'this storage does not expire objects: use another storage or take the rules out of the profile';
    return unsupportedLifecycle(bucket, [...sorted.added, ...sorted.extended, ...sorted.tightened], detail);
  }
  // Versioning comes first: where it could not be turned on, an expiry would delete what it should only hide.
  const about = { subject: lifecycleSubject(bucket), needs: [bucketSubject(bucket), versioningSubject(bucket)] };
  const lacksVersions = wanted.versioning === true && !capabilities.versioning && is.versioning !== 'enabled';
  const added = lacksVersions ? [] : sorted.added.map(({ rule }) => rule);
  const extended = sorted.extended.map(({ rule }) => rule);
  const before = sorted.extended.map((change) => change.before);
  return [
    ...(lacksVersions ? unsupportedLifecycle(bucket, sorted.added, NO_VERSIONS) : []),
    ...when(
      added,
      (): StorageAction => ({ ...about, kind: 'add-lifecycle-rules', safety: 'add', after: added, data: { bucket, rules: added } }),
    ),
    ...when(extended, (): StorageAction => {
      return { ...about, kind: 'extend-lifecycle-rules', safety: 'update', before, after: extended, data: { bucket, rules: extended } };
    }),
    ...sorted.tightened.map((change) => tighten(bucket, change)),
  ];
}

interface RuleChange {
  readonly rule: LifecycleRule;
  readonly before?: LifecycleRule;
}

function sortRules(wanted: readonly LifecycleRule[], actual: readonly LifecycleRule[]) {
  const found = new Map(actual.map((rule) => [rule.id, rule]));
  const added: RuleChange[] = [];
  const extended: RuleChange[] = [];
  const tightened: RuleChange[] = [];
  for (const rule of wanted) {
    const before = found.get(rule.id);
    if (before === undefined) added.push({ rule });
    else if (shortensLife(before, rule)) tightened.push({ rule, before });
    else if (before.prefix !== rule.prefix || before.expire_days !== rule.expire_days) extended.push({ rule, before });
  }
  return { added, extended, tightened };
}

/** True when some object would expire sooner under the new rule, or expire at all where it did not. */
export function shortensLife(before: LifecycleRule, after: LifecycleRule): boolean {
  return after.expire_days < before.expire_days || !after.prefix.startsWith(before.prefix);
}

function tighten(bucket: string, { rule, before }: RuleChange): StorageAction {
  const was = before === undefined ? '' : ` instead of "${before.prefix}" after ${before.expire_days}`;
  const detail =
    `rule ${rule.id} would expire "${rule.prefix}" after ${rule.expire_days} days${was}, which ends the life of objects earlier: ` +
    'left as it is. Add a rule with a new id, or, if that is meant, approve it with `bootplane prune`';
  const view = { subject: lifecycleSubject(bucket), before, after: rule, detail };
  return { ...view, kind: 'tighten-lifecycle-rule', safety: 'destroy', data: { bucket, rule }, needs: [] };
}

const NO_VERSIONS =
  'this storage keeps no versions, so the rules would delete what they should only hide: use another storage or take versioning out of the profile';

function unsupportedLifecycle(bucket: string, changes: readonly RuleChange[], detail: string): StorageAction[] {
  const after = changes.map(({ rule }) => rule);
  return when(after, () => {
    return {
      kind: 'lifecycle-unsupported',
      safety: 'incompatible',
      subject: lifecycleSubject(bucket),
      after,
      detail,
      data: { bucket },
      needs: [],
    };
  });
}

function diffTags({ wanted, is, capabilities }: Pair): StorageAction[] {
  const bucket = wanted.name;
  const changed = Object.keys(wanted.tags).filter((name) => !Object.hasOwn(is.tags, name) || is.tags[name] !== wanted.tags[name]);
  return when(changed, (): StorageAction => {
    const tags = pickTags(wanted.tags, changed);
    const about = { subject: tagsSubject(bucket), before: pickTags(is.tags, changed), after: tags, needs: [bucketSubject(bucket)] };
    if (capabilities.tags) return { ...about, kind: 'update-tags', safety: 'update', data: { bucket, tags } };
    const detail = 'this storage keeps no tags: use another storage or take the tags out of the profile';
    return { ...about, kind: 'tags-unsupported', safety: 'incompatible', detail, data: { bucket } };
  });
}

function pickTags(tags: BucketState['tags'], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(tags).filter(([name]) => names.includes(name)));
}

function when<T>(items: readonly unknown[], make: () => T): T[] {
  return items.length === 0 ? [] : [make()];
}
