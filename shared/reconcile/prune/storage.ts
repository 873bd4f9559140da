import type { Made } from '../../contract/made.ts';
import { LifecycleRule, type StorageProfile } from '../../contract/profile.ts';
import type { PruneEvidence, PruneKept } from '../../contract/prune.ts';
import type { BucketState, ObjectStorage } from '../../ports/object-storage.ts';
import { bucketSubject, type StorageAction, versioningSubject } from '../storage-actions.ts';
import { diffStorage } from '../storage-diff.ts';
import { mapFew } from './each.ts';
import { type Findings, type Known, NO_LONGER_NAMED, NOTHING_LOST, type Removal, refuseChanged, refuseGrown } from './types.ts';

type Part = Extract<Made, { kind: 'lifecycle_rule' | 'tag' }>;

const ruleSubject = (bucket: string, id: string) => `lifecycle rule ${id} of bucket ${bucket}`;
const tagSubject = (bucket: string, name: string) => `tag ${name} of bucket ${bucket}`;

/**
 * Storage: versioning that the profile wants off, rules that it wants tighter, then tags and rules of buckets that stay,
 * then buckets. Reads only.
 */
export async function findInStorage(storage: ObjectStorage, desired: StorageProfile, known: Known): Promise<Findings> {
  const { made, names, parts } = candidates(storage, desired, known);
  const named = desired.buckets.map(({ name }) => name);
  const asked = new Set([...named, ...names, ...parts.map(({ bucket }) => bucket)]);
  const states = new Map((asked.size === 0 ? [] : await storage.readBuckets([...asked])).map((state) => [state.name, state]));
  const isOurs = ({ name, made_by }: BucketState) => (storage.capabilities.records_maker ? made_by === known.made_by : made.has(name));
  const there = names.flatMap((name) => states.get(name) ?? []);
  const leaving = there.filter(isOurs);
  const left = new Set(leaving.map(({ name }) => name));
  const anew = new Set([...states.values()].filter((state) => made.has(state.name) && !isOurs(state)).map(({ name }) => name));
  const fates = parts
    .filter(({ bucket }) => !left.has(bucket))
    .map((part): Fate => (anew.has(part.bucket) ? { gone: part } : judge(storage, desired, part, states.get(part.bucket))));
  const absent = names.filter((name) => made.has(name) && !states.has(name));
  return {
    removals: [
      ...(await mapFew(destroyed(storage, desired, [...states.values()]), (action) => toChange(storage, action))),
      ...fates.flatMap((fate) => ('removal' in fate ? [fate.removal] : [])),
      ...(await mapFew(leaving, (state) => removeBucket(storage, state))),
    ],
    kept: [...there.filter(({ name }) => anew.has(name)).map(madeAnew), ...fates.flatMap((fate) => ('kept' in fate ? [fate.kept] : []))],
    gone: [
      ...[...absent, ...anew].map((name) => ({ kind: 'bucket', name }) as const),
      ...fates.flatMap((fate) => ('gone' in fate ? [fate.gone] : [])),
    ],
  };
}

/** Buckets that the profile does not name and that may be ours, and what was added to any bucket. */
function candidates({ capabilities }: ObjectStorage, desired: StorageProfile, { owned, former }: Known) {
  const made = new Set(owned.flatMap((one) => (one.kind === 'bucket' ? [one.name] : [])));
  const named = new Set(desired.buckets.map(({ name }) => name));
  const names = new Set([...made, ...(capabilities.records_maker ? former.buckets : [])]);
  const parts = owned.filter((one): one is Part => one.kind === 'lifecycle_rule' || one.kind === 'tag');
  return { made, names: [...names].filter((name) => !named.has(name)), parts };
}

async function removeBucket(storage: ObjectStorage, state: BucketState): Promise<Removal> {
  const { made_by: _, ...before } = state;
  const { name } = before;
  const evidence = await evidenceOf(storage, name);
  return {
    view: { kind: 'remove-bucket', safety: 'destroy', subject: bucketSubject(name), before, detail: NO_LONGER_NAMED, evidence },
    needs: [],
    async execute(signal) {
      const [is] = await storage.readBuckets([name]);
      refuseChanged(state, is);
      await storage.removeBucket(name, { if_empty: evidence.empty, signal });
    },
    forget: { kind: 'bucket', name },
  };
}

async function evidenceOf(storage: ObjectStorage, name: string): Promise<PruneEvidence> {
  const { objects, older_versions, unfinished_uploads, bytes, truncated } = await storage.bucketStats(name);
  return {
    empty: objects + older_versions + unfinished_uploads === 0 && !truncated,
    holds: { objects, older_versions, unfinished_uploads, bytes },
    ...(truncated ? { at_least: true } : {}),
  };
}

function madeAnew({ name }: BucketState): PruneKept {
  return { subject: bucketSubject(name), detail: 'it was removed since bootplane made it, and somebody else made it anew' };
}

type Fate = { readonly removal: Removal } | { readonly kept: PruneKept } | { readonly gone: Made } | Record<never, never>;

/** What becomes of a rule or tag that was added here. What the profile names is none of this. */
function judge(storage: ObjectStorage, desired: StorageProfile, part: Part, state: BucketState | undefined): Fate {
  const wanted = desired.buckets.find(({ name }) => name === part.bucket);
  if (part.kind === 'tag') return Object.hasOwn(wanted?.tags ?? {}, part.name) ? {} : judgeTag(storage, part, state);
  return wanted?.lifecycle.some(({ id }) => id === part.rule.id) === true ? {} : judgeRule(storage, part, state);
}

function judgeTag(storage: ObjectStorage, made: Extract<Part, { kind: 'tag' }>, { tags }: Pick<BucketState, 'tags'> = { tags: {} }): Fate {
  const { bucket, name, value } = made;
  if (!Object.hasOwn(tags, name)) return { gone: made };
  const subject = tagSubject(bucket, name);
  if (tags[name] !== value) return { kept: { subject, detail: `somebody has changed it since: it was "${value}" and is "${tags[name]}"` } };
  const removal = {
    view: { kind: 'remove-tag', safety: 'destroy', subject, before: value, detail: NO_LONGER_NAMED, evidence: NOTHING_LOST } as const,
    needs: [],
    execute: () => storage.removeTags(bucket, [name]),
    forget: made,
  };
  return { removal };
}

function judgeRule(storage: ObjectStorage, made: Extract<Part, { kind: 'lifecycle_rule' }>, state: BucketState | undefined): Fate {
  const { bucket, rule } = made;
  const is = state?.lifecycle.find(({ id }) => id === rule.id);
  if (is === undefined) return { gone: made };
  const subject = ruleSubject(bucket, rule.id);
  if (is.prefix !== rule.prefix || is.expire_days !== rule.expire_days) {
    return { kept: { subject, detail: `somebody has changed it since: it expires "${is.prefix}" after ${is.expire_days} days` } };
  }
  const detail = `${NO_LONGER_NAMED}; what it covers then stays for good`;
  const removal = {
    view: { kind: 'remove-lifecycle-rule', safety: 'destroy', subject, before: is, detail, evidence: NOTHING_LOST } as const,
    needs: [],
    execute: () => storage.removeLifecycleRules(bucket, [rule.id]),
    forget: made,
  };
  return { removal };
}

type Destroy = Extract<StorageAction, { safety: 'destroy' }>;

/** What the profile asks for and no apply does by itself. */
function destroyed({ capabilities }: ObjectStorage, desired: StorageProfile, states: readonly BucketState[]): Destroy[] {
  return diffStorage(desired, states, capabilities).filter((action) => action.safety === 'destroy');
}

async function toChange(storage: ObjectStorage, action: Destroy): Promise<Removal> {
  const { bucket } = action.data;
  const evidence = await evidenceOf(storage, bucket);
  const { kind, safety, before, after } = action;
  const about = { kind, safety, before, after, evidence };
  const first = () => refuseGrown(evidence, () => evidenceOf(storage, bucket));
  if (action.kind === 'suspend-versioning') {
    const detail = 'the profile turns versioning off: overwrites and deletes are final from then on';
    return {
      view: { ...about, subject: versioningSubject(bucket), detail },
      needs: [],
      execute: () => first().then(() => storage.ensureVersioning(bucket, false)),
    };
  }
  const { rule } = action.data;
  const was = LifecycleRule.safeParse(before).data;
  const detail = `the profile lets it expire "${rule.prefix}" after ${rule.expire_days} days, which ends the life of objects earlier`;
  return {
    view: { ...about, subject: ruleSubject(bucket, rule.id), detail },
    needs: [],
    execute: () => first().then(() => storage.ensureLifecycle(bucket, [rule])),
    ...(was === undefined
      ? {}
      : { renew: { from: { kind: 'lifecycle_rule', bucket, rule: was }, to: { kind: 'lifecycle_rule', bucket, rule } } }),
  };
}
