import type { ListOptions, ObjectInfo, ObjectVersion } from '../../../shared/ports/object-storage.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { isFailure } from './failure.ts';
import { timeOf, UNVERSIONED } from './object-info.ts';
import type { Requests } from './requests.ts';
import { textOf, type XmlElement } from './xml.ts';

/** A page of the latest versions. */
export async function listObjects(
  requests: Requests,
  bucket: string,
  options: ListOptions,
): Promise<{ objects: ObjectInfo[]; next?: string }> {
  const { prefix = '', after, limit = 1000 } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw new StorageError('failed', `limit must be 1 to 1000, not ${limit}`);
  const objects: ObjectInfo[] = [];
  let token: string | undefined;
  for (;;) {
    const from = token === undefined ? (after === undefined ? {} : { 'start-after': after }) : { 'continuation-token': token };
    const size = String(limit - objects.length);
    const query = { 'list-type': '2', 'encoding-type': 'url', 'max-keys': size, ...(prefix === '' ? {} : { prefix }), ...from };
    const { root } = await requests.ask({ method: 'GET', bucket, query, repeat: true }, 'ListBucketResult');
    const read = keyReader(root);
    objects.push(...root.children.filter(({ name }) => name === 'Contents').map((element) => toInfo(element, read)));
    token = textOf(root, 'NextContinuationToken');
    const more = textOf(root, 'IsTruncated') === 'true' && token !== undefined && token !== '';
    const last = objects.at(-1);
    if (!more) return { objects };
    if (objects.length >= limit && last !== undefined) return { objects, next: last.key };
  }
}

/** The newest versions and markers of one key, newest first; at least the two last ones of those there are. */
export async function newestVersions(requests: Requests, bucket: string, key: string): Promise<ObjectVersion[]> {
  // A key sorts before all that it is a prefix of.
  const query = { versions: '', 'encoding-type': 'url', prefix: key };
  const { root } = await requests.ask({ method: 'GET', bucket, query, repeat: true }, ...VERSION_ROOTS);
  return readVersions(root).filter((version) => version.key === key);
}

/** S3's name, and Ceph's. */
const VERSION_ROOTS = ['ListVersionsResult', 'ListBucketVersionsResult'] as const;

function readVersions(root: XmlElement): ObjectVersion[] {
  const read = keyReader(root);
  const found = root.children.filter(({ name }) => name === 'Version' || name === 'DeleteMarker');
  return found.map((element) => {
    const latest = textOf(element, 'IsLatest') === 'true';
    return { ...toInfo(element, read), latest, delete_marker: element.name === 'DeleteMarker' };
  });
}

/** Every version and delete marker, by key in byte order, newest first within a key. */
export async function listVersions(requests: Requests, bucket: string, prefix: string): Promise<ObjectVersion[]> {
  const versions: ObjectVersion[] = [];
  for await (const page of versionPages(requests, bucket, prefix)) versions.push(...page);
  return inOrder(versions);
}

async function* versionPages(requests: Requests, bucket: string, prefix: string): AsyncGenerator<ObjectVersion[]> {
  let from: Record<string, string> = {};
  for (;;) {
    const query = { versions: '', 'encoding-type': 'url', ...(prefix === '' ? {} : { prefix }), ...from };
    const { root } = await requests.ask({ method: 'GET', bucket, query, repeat: true }, ...VERSION_ROOTS);
    const page = readVersions(root);
    yield page;
    const last = page.at(-1);
    if (textOf(root, 'IsTruncated') !== 'true' || last === undefined) return;
    // Not by NextKeyMarker: Ceph does not encode it as it does the keys, so it can't be told what it means.
    from = { 'key-marker': last.key, 'version-id-marker': last.version_id };
  }
}

/** What there is to remove. Without a version where the store keeps none. */
export interface Listed extends Pick<ObjectVersion, 'key' | 'size' | 'latest' | 'delete_marker'> {
  readonly version_id?: string;
}

/** All that a bucket holds but its uploads, in pages of at most 1,000. */
export async function* everythingIn(requests: Requests, bucket: string): AsyncGenerator<Listed[]> {
  try {
    yield* versionPages(requests, bucket, '');
  } catch (error) {
    if (!isFailure(error, 'NotImplemented')) throw error;
    yield* objectPages(requests, bucket);
  }
}

async function* objectPages(requests: Requests, bucket: string): AsyncGenerator<Listed[]> {
  let options: ListOptions = {};
  for (;;) {
    const { objects, next } = await listObjects(requests, bucket, options);
    yield objects.map(({ key, size }) => ({ key, size, latest: true, delete_marker: false }));
    if (next === undefined) return;
    options = { after: next };
  }
}

/** Some of the uploads that were begun and not ended, as far as the store lists them (MinIO does so by whole keys only). */
export async function listUploads(
  requests: Requests,
  bucket: string,
): Promise<{ uploads: { key: string; upload_id: string }[]; more: boolean }> {
  const query = { uploads: '', 'encoding-type': 'url' };
  const request = { method: 'GET', bucket, query, repeat: true } as const;
  const root = await requests.ask(request, 'ListMultipartUploadsResult').then(
    (answer) => answer.root,
    (error: unknown) => {
      if (isFailure(error, 'NotImplemented')) return undefined;
      throw error;
    },
  );
  if (root === undefined) return { uploads: [], more: false };
  const read = keyReader(root);
  const found = root.children.filter(({ name }) => name === 'Upload');
  const uploads = found.map((one) => ({ key: read(textOf(one, 'Key') ?? ''), upload_id: textOf(one, 'UploadId') ?? '' }));
  return { uploads, more: textOf(root, 'IsTruncated') === 'true' };
}

/** Pages are in order; this makes sure of the keys. Within a key the order is the store's. */
function inOrder(versions: readonly ObjectVersion[]): ObjectVersion[] {
  const keyed = versions.map((version) => ({ version, bytes: Buffer.from(version.key, 'utf8') }));
  keyed.sort((one, other) => Buffer.compare(one.bytes, other.bytes));
  return keyed.map(({ version }) => version);
}

function toInfo(element: XmlElement, read: (text: string) => string): ObjectInfo {
  return {
    key: read(textOf(element, 'Key') ?? ''),
    version_id: textOf(element, 'VersionId') || UNVERSIONED,
    size: Number(textOf(element, 'Size') ?? 0),
    modified_at: timeOf(textOf(element, 'LastModified')),
  };
}

/** Keys come percent-encoded, as asked for (XML knows no control characters), where the server can. */
function keyReader(root: XmlElement): (text: string) => string {
  return textOf(root, 'EncodingType') === 'url' ? decode : (text) => text;
}

function decode(text: string): string {
  const spaced = text.replaceAll('+', '%20');
  try {
    return decodeURIComponent(spaced);
  } catch {
    // Stored by somebody under bytes that are no UTF-8: shown as well as can be.
    const bytes = spaced.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    return Buffer.from(bytes, 'latin1').toString('utf8');
  }
}
