import { createHash } from 'node:crypto';
import { type LifecycleRule, MAKER_TAG } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Log } from '../../../shared/ports/log.ts';
import type { BucketState } from '../../../shared/ports/object-storage.ts';
import { messageOf } from '../../thrown.ts';
import { header } from './answers.ts';
import { eachOf } from './concurrency.ts';
import { isFailure } from './failure.ts';
import {
  type LifecycleDocument,
  mergeLifecycle,
  NO_RULES,
  otherRules,
  plainRules,
  readLifecycle,
  withoutRules,
} from './lifecycle-document.ts';
import { merge } from './merge.ts';
import type { Requests } from './requests.ts';
import { hasTags, readTags, type Tags, writeTags } from './tag-document.ts';
import { textOf } from './xml.ts';

export type Feature = 'versioning' | 'lifecycle' | 'tags';

/** AWS keeps a choice of the bucket's lifecycle in a header: a write without it takes the choice back. */
const MINIMUM_SIZE = 'x-amz-transition-default-minimum-object-size';

/** The lifecycle as it was read, with what came beside it. */
interface KeptLifecycle extends LifecycleDocument {
  readonly headers: Readonly<Record<string, string>>;
}

/** Buckets and their settings. Each `ensure…` reads first and writes only what differs. */
export class Buckets {
  /** What the store turned out not to have. */
  readonly lacks = new Set<Feature>();
  readonly #requests: Requests;
  readonly #clock: Clock;
  readonly #concurrency: number;
  readonly #region: string | undefined;
  readonly #log: Log;

  constructor(requests: Requests, options: { clock: Clock; log: Log; concurrency: number; region: string | undefined }) {
    this.#requests = requests;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#concurrency = options.concurrency;
    this.#region = options.region;
  }

  /** Three small reads for a bucket: S3 has no question about many. `wrap` makes an error that names the bucket. */
  async read(names: readonly string[], wrap: (bucket: string, error: unknown) => Error): Promise<BucketState[]> {
    const readOne = (name: string) => this.#readOne(name).catch((error: unknown) => Promise.reject(wrap(name, error)));
    const states = await eachOf(names, this.#concurrency, readOne);
    return states.filter((state) => state !== undefined);
  }

  /** Only the bucket that this very call makes is recorded as made by `made_by`. */
  async ensure(bucket: string, made_by: string | undefined): Promise<void> {
    if (await this.#exists(bucket)) return;
    try {
      await this.#make(bucket);
      if (made_by !== undefined) await this.#record(bucket, made_by);
    } catch (error) {
      // Made by another at the same time. Ceph says of one's own bucket what S3 says of another's.
      if (!isFailure(error, 'BucketAlreadyOwnedByYou', 'BucketAlreadyExists', 'OperationAborted')) throw error;
      if (isFailure(error, 'BucketAlreadyOwnedByYou') || (await this.#exists(bucket).catch(() => false))) return;
      throw error;
    }
  }

  setVersioning(bucket: string, enabled: boolean): Promise<void> {
    const wanted = enabled ? 'enabled' : 'suspended';
    const status = enabled ? 'Enabled' : 'Suspended';
    const setting = {
      name: `versioning of bucket ${bucket}`,
      read: () => this.#versioning(bucket),
      change: (state: BucketState['versioning']) =>
        state === wanted
          ? undefined
          : `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>${status}</Status></VersioningConfiguration>`,
      write: (body: string) => this.#write(bucket, 'versioning', body),
      same: (one: string, other: string) => one === other,
      lost: () => [],
    };
    return merge(setting, this.#clock);
  }

  mergeLifecycle(bucket: string, rules: readonly LifecycleRule[]): Promise<void> {
    const ids = new Set(rules.map(({ id }) => id));
    return this.#changeLifecycle(bucket, ids, (kept) => mergeLifecycle(kept, rules, bucket));
  }

  #changeLifecycle(bucket: string, ids: ReadonlySet<string>, change: (kept: KeptLifecycle) => string | undefined): Promise<void> {
    const setting = {
      name: `lifecycle rules of bucket ${bucket}`,
      read: () => this.#lifecycle(bucket),
      change,
      write: (body: string, { headers }: KeptLifecycle) => this.#write(bucket, 'lifecycle', body, headers),
      same: (one: KeptLifecycle, other: KeptLifecycle) => one.text === other.text,
      lost: (before: KeptLifecycle, after: KeptLifecycle) => {
        const left = otherRules(after, ids);
        return otherRules(before, ids).filter((raw) => !left.includes(raw));
      },
    };
    return merge(setting, this.#clock);
  }

  removeLifecycle(bucket: string, rules: readonly string[]): Promise<void> {
    const ids = new Set(rules);
    return this.#changeLifecycle(bucket, ids, (kept) => withoutRules(kept, ids, bucket));
  }

  mergeTags(bucket: string, tags: Tags): Promise<void> {
    const change = (kept: Tags) => (hasTags(kept, tags) ? undefined : writeTags({ ...kept, ...tags }));
    return this.#changeTags(bucket, new Set(Object.keys(tags)), change);
  }

  removeTags(bucket: string, names: readonly string[]): Promise<void> {
    const leaving = new Set(names);
    const change = (kept: Tags) => {
      const left = Object.entries(kept).filter(([name]) => !leaving.has(name));
      if (left.length === Object.keys(kept).length) return undefined;
      return left.length === 0 ? '' : writeTags(Object.fromEntries(left));
    };
    return this.#changeTags(bucket, leaving, change);
  }

  #changeTags(bucket: string, ours: ReadonlySet<string>, change: (kept: Tags) => string | undefined): Promise<void> {
    const others = (all: Tags) => Object.entries(all).filter(([name]) => !ours.has(name));
    const setting = {
      name: `tags of bucket ${bucket}`,
      read: () => this.#tags(bucket),
      change,
      write: (body: string) => this.#write(bucket, 'tagging', body),
      same: (one: Tags, other: Tags) => writeTags(one) === writeTags(other),
      lost: (before: Tags, after: Tags) => others(before).flatMap(([name, value]) => (hasTags(after, { [name]: value }) ? [] : [name])),
    };
    return merge(setting, this.#clock);
  }

  async #readOne(bucket: string): Promise<BucketState | undefined> {
    try {
      const versioning = await this.#known('versioning', 'off', () => this.#versioning(bucket));
      const [lifecycle, tags] = await Promise.all([
        this.#known('lifecycle', NO_RULES, () => this.#lifecycle(bucket)),
        this.#known<Tags>('tags', {}, () => this.#tags(bucket)),
      ]);
      const { [MAKER_TAG]: made_by, ...plain } = tags;
      return { name: bucket, versioning, lifecycle: plainRules(lifecycle), tags: plain, ...(made_by === undefined ? {} : { made_by }) };
    } catch (error) {
      if (isFailure(error, 'NoSuchBucket')) return undefined;
      throw error;
    }
  }

  /** Remembers what the store does not have, and goes on without it. */
  async #known<T>(feature: Feature, none: T, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (!isFailure(error, 'NotImplemented')) throw error;
      this.lacks.add(feature);
      return none;
    }
  }

  async #exists(bucket: string): Promise<boolean> {
    try {
      await this.#requests.ask({ method: 'GET', bucket, query: { location: '' }, repeat: true }, 'LocationConstraint');
      return true;
    } catch (error) {
      if (isFailure(error, 'NoSuchBucket')) return false;
      // A user may be allowed to use a bucket and not to ask where it is.
      if (!isFailure(error, 'AccessDenied')) throw error;
      await this.#requests.order({ method: 'HEAD', bucket, repeat: true }).catch(() => Promise.reject(error));
      return true;
    }
  }

  async #make(bucket: string): Promise<void> {
    const request = { method: 'PUT', bucket, repeat: true } as const;
    try {
      await this.#requests.order(request);
    } catch (error) {
      // Some want the region named, others refuse it: it is named when asked for.
      const region = isFailure(error, 'IllegalLocationConstraintException') ? (this.#region ?? error.region) : undefined;
      if (region === undefined) throw error;
      const body = `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`;
      await this.#requests.order({ ...request, body: Buffer.from(body) });
    }
  }

  /** The bucket is made, whatever becomes of this: without the record it is nobody's, and nobody will remove it. */
  async #record(bucket: string, made_by: string): Promise<void> {
    try {
      // One that has tags already was made by another at the same time: some stores say of such a one that we made it.
      if (Object.keys(await this.#tags(bucket)).length === 0) await this.#write(bucket, 'tagging', writeTags({ [MAKER_TAG]: made_by }));
    } catch (error) {
      if (isFailure(error, 'NotImplemented')) this.lacks.add('tags');
      this.#log.warn('It could not be recorded in the object storage who made a bucket', { bucket, error: messageOf(error) });
    }
  }

  async #versioning(bucket: string): Promise<BucketState['versioning']> {
    const { root } = await this.#requests.ask(
      { method: 'GET', bucket, query: { versioning: '' }, repeat: true },
      'VersioningConfiguration',
    );
    const status = textOf(root, 'Status')?.trim();
    return status === 'Enabled' ? 'enabled' : status === 'Suspended' ? 'suspended' : 'off';
  }

  async #lifecycle(bucket: string): Promise<KeptLifecycle> {
    try {
      const request = { method: 'GET', bucket, query: { lifecycle: '' }, repeat: true } as const;
      const { text, headers } = await this.#requests.ask(request, 'LifecycleConfiguration');
      const size = header(headers, MINIMUM_SIZE);
      return { ...readLifecycle(text), headers: size === undefined ? {} : { [MINIMUM_SIZE]: size } };
    } catch (error) {
      if (isFailure(error, 'NoSuchLifecycleConfiguration')) return { ...NO_RULES, headers: {} };
      throw error;
    }
  }

  async #tags(bucket: string): Promise<Tags> {
    try {
      return readTags((await this.#requests.ask({ method: 'GET', bucket, query: { tagging: '' }, repeat: true }, 'Tagging')).text);
    } catch (error) {
      if (isFailure(error, 'NoSuchTagSet', 'NoSuchTagSetError')) return {};
      throw error;
    }
  }

  /** The store wants these with a Content-MD5 (S3 API reference), of which Ceph and MinIO make a condition too. */
  async #write(bucket: string, what: string, text: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    if (text === '') {
      await this.#requests.order({ method: 'DELETE', bucket, query: { [what]: '' }, repeat: true });
      return;
    }
    const body = Buffer.from(text, 'utf8');
    const md5 = createHash('md5').update(body).digest('base64');
    const all = { ...headers, 'content-md5': md5, 'content-type': 'application/xml' };
    await this.#requests.order({ method: 'PUT', bucket, query: { [what]: '' }, headers: all, body, repeat: true });
  }
}
