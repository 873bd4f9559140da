import type { Entry } from '../../ports/backlog.ts';
import type { ListOptions, ObjectInfo, ObjectVersion } from '../../ports/object-storage.ts';
import { ask, orAbsent, type StorageParts } from './storage-parts.ts';

const PAGE = 1000;

interface Page {
  readonly objects: ObjectInfo[];
  readonly next?: string;
}

/**
 * A page of the external with what waits for it: an object that waits stands in place of the one in the external, and one
 * whose deletion waits is left out. Rejects with `backend_away` while the external is away.
 */
export async function listObjects(parts: StorageParts, bucket: string, options: ListOptions): Promise<Page> {
  const doing = `what bucket ${bucket} holds can't be told`;
  await parts.presence.asked();
  const { limit = PAGE } = options;
  // First what waits: what goes over between the two is found in the external then.
  const entries = await parts.backlog.list(bucket, { ...options, limit: Math.min(Math.max(limit, 1), PAGE) });
  const kept = await keptOf(parts, entries);
  const page = await ask(parts, doing, (external) => external.list(bucket, options));
  if (entries.length === 0) return page;
  return merge(page, { entries, kept, limit });
}

interface Waiting {
  readonly entries: readonly Entry[];
  /** What the embedded default holds of them, by key. */
  readonly kept: ReadonlyMap<string, ObjectInfo>;
  readonly limit: number;
}

function merge({ objects, next }: Page, { entries, kept, limit }: Waiting): Page {
  const waiting = new Map(entries.map((entry) => [entry.key, entry]));
  const held = new Set(objects.map(({ key }) => key));
  const isHidden = (key: string) => waiting.has(key) && waiting.get(key)?.adopted !== true;
  const own = [...kept.values()].filter(({ key }) => isHidden(key) || !held.has(key));
  const all = [...objects.filter(({ key }) => !isHidden(key)), ...own].sort((one, other) => compareKeys(one.key, other.key));
  // Each side is known only up to where its page ends.
  const ends = [next, entries.length >= limit ? entries.at(-1)?.key : undefined].filter((key) => key !== undefined);
  const end = ends.toSorted(compareKeys)[0];
  const covered = end === undefined ? all : all.filter(({ key }) => compareKeys(key, end) <= 0);
  const shown = covered.slice(0, limit);
  const last = shown.at(-1);
  if (covered.length > shown.length && last !== undefined) return { objects: shown, next: last.key };
  return end === undefined ? { objects: shown } : { objects: shown, next: end };
}

/** Versions of the external, and above them those of what waits. Rejects with `backend_away` while the external is away. */
export async function listVersions(parts: StorageParts, bucket: string, options: { prefix?: string }): Promise<ObjectVersion[]> {
  await parts.presence.asked();
  const waiting = new Map<string, Entry>();
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: Entry[] = await parts.backlog.list(bucket, { ...options, after, limit: PAGE });
    for (const entry of page) waiting.set(entry.key, entry);
    after = page.at(-1)?.key;
  }
  const local = waiting.size === 0 ? [] : ((await orAbsent(parts.fallback.listVersions(bucket, options))) ?? []);
  const doing = `versions in bucket ${bucket} can't be told`;
  const theirs = await ask(parts, doing, (external) => external.listVersions(bucket, options));
  if (waiting.size === 0) return theirs;
  const held = new Set(theirs.map(({ key }) => key));
  const isAbove = ({ key }: ObjectVersion) => waiting.has(key) && !(waiting.get(key)?.adopted === true && held.has(key));
  const above = local.filter(isAbove);
  const covered = new Set(above.map(({ key }) => key));
  const below = theirs.map((version) => (covered.has(version.key) ? { ...version, latest: false } : version));
  // A stable sort: within a key the order stays.
  return [...above, ...below].sort((one, other) => compareKeys(one.key, other.key));
}

async function keptOf({ fallback }: StorageParts, entries: readonly Entry[]): Promise<Map<string, ObjectInfo>> {
  const kept = new Map<string, ObjectInfo>();
  for (const { place, key, deleted } of entries) {
    const info = deleted === true ? undefined : await orAbsent(fallback.head(place, key));
    if (info !== undefined) kept.set(key, info);
  }
  return kept;
}

/** In the order of UTF-8 bytes, which differs from that of UTF-16 where a surrogate meets a character from U+E000 on. */
export function compareKeys(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index += 1) {
    const [a, b] = [one.charCodeAt(index), other.charCodeAt(index)];
    if (a !== b) return rank(a) - rank(b);
  }
  return one.length - other.length;
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
