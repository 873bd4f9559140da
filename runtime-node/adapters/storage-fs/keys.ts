import { BucketName } from '../../../shared/contract/profile.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';

const MAX_KEY_BYTES = 1024;

/** No UTF-8 text holds this byte, so it sorts after every key. */
const AFTER_ALL_KEYS = Buffer.from([0xff]);

/** The key's UTF-8 bytes, which is also how the catalog sorts. Rejects what S3 can't name either. */
export function keyBytes(key: string): Buffer {
  if (key === '') throw new StorageError('bad_name', 'an object key must not be empty');
  if (!key.isWellFormed())
    throw new StorageError('bad_name', 'an object key must be well-formed Unicode (it holds half of a surrogate pair)');
  const bytes = Buffer.from(key, 'utf8');
  if (bytes.length > MAX_KEY_BYTES)
    throw new StorageError('bad_name', `an object key must have at most ${MAX_KEY_BYTES} bytes of UTF-8; this one has ${bytes.length}`);
  return bytes;
}

export function checkBucketName(name: string): void {
  const checked = BucketName.safeParse(name);
  if (!checked.success) throw new StorageError('bad_name', `the bucket name ${JSON.stringify(name)} ${checked.error.issues[0]?.message}`);
}

/** Half-open range of keys, in bytes: `from` <= key < `to`. */
export interface KeyRange {
  readonly from: Buffer;
  readonly to: Buffer;
}

/** The keys that start with `prefix` and come after `after` (which itself is left out). */
export function keyRange(prefix = '', after?: string): KeyRange {
  const start = Buffer.from(prefix, 'utf8');
  const next = after === undefined ? start : Buffer.concat([Buffer.from(after, 'utf8'), Buffer.from([0])]);
  return { from: Buffer.compare(next, start) > 0 ? next : start, to: endOf(start) };
}

/** The smallest byte string above all that start with `prefix`. UTF-8 has no byte 0xff, so the last one can be raised. */
function endOf(prefix: Buffer): Buffer {
  if (prefix.length === 0) return AFTER_ALL_KEYS;
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return end;
}
