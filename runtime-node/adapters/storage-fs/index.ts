import { access, constants, mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import type { LifecycleRule } from '../../../shared/contract/profile.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Log } from '../../../shared/ports/log.ts';
import { whyNoMaker } from '../../../shared/ports/maker.ts';
import type * as port from '../../../shared/ports/object-storage.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { codeOf, messageOf } from '../../thrown.ts';
import { isDamage, type SetAside } from '../sqlite-file/damage.ts';
import { syncFolder } from '../sync-folder.ts';
import { Bodies, type BodyFile } from './bodies.ts';
import { Buckets } from './buckets.ts';
import { isFull, toStorageError } from './errors.ts';
import { Expiry } from './expiry.ts';
import { checkBucketName, type KeyRange, keyBytes, keyRange } from './keys.ts';
import { Reads } from './reads.ts';
import { Removals } from './removal.ts';
import { Reserve } from './reserve.ts';
import { openCatalogFile } from './schema.ts';
import { type Change, type Found, type Moment, Versions } from './versions.ts';

export interface FsStorageOptions {
  /** Made (mode 0700) when it is not there. One process at a time. */
  readonly root: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Moves a folder whose catalog is damaged away, so that an empty one takes its place. Absent: it can't be opened. */
  readonly set_aside?: SetAside;
}

/** Objects that one transaction of the expiry takes, so that it never holds up others for long. */
const EXPIRY_CHUNK = 50;

/**
 * Object storage on a local file system. Bodies are files in `bodies/`, named by random ids; everything
 * else (buckets, keys, versions, checksums) is in `catalog.sqlite`.
 *
 * Why a SQLite catalog and not names in folders: one commit switches an object over, so a crash leaves
 * the old or the new one; keys of any spelling are data and never paths; listing 100,000 keys in
 * order, or reading 10,000 buckets, is one indexed query that touches no body.
 *
 * An object exists when its row does. `put` writes the body to a new file, fsyncs file and folder, and
 * only then commits the row, so no rename is needed and a reader never sees a part; a body without a row
 * is the rest of a crash and is removed by `run`.
 */
export async function createFsStorage(options: FsStorageOptions): Promise<FsStorage> {
  try {
    await mkdir(join(options.root, 'bodies'), { recursive: true, mode: 0o700 });
    const root = await realpath(options.root);
    // SQLite calls a read-only disk "disk I/O error"; this says what it is.
    await access(root, constants.W_OK);
    await syncFolder(root);
    const reserve = new Reserve(join(root, 'reserve'));
    const db = openCatalogFile(join(root, 'catalog.sqlite'), { check: options.set_aside !== undefined });
    await reserve.fill();
    return new FsStorage(root, db, reserve, options);
  } catch (error) {
    const { set_aside, ...rest } = options;
    if (set_aside !== undefined && isDamage(error)) return replace(rest, set_aside, error);
    throw toStorageError(error, `open the storage folder ${options.root}`);
  }
}

/** The whole folder is kept: without its catalog the bodies in it are nameless, and a sweep beside a new one would remove them. */
async function replace(options: FsStorageOptions, set_aside: SetAside, error: unknown): Promise<FsStorage> {
  set_aside(options.root, `its catalog is damaged: ${messageOf(error)}`);
  return createFsStorage(options);
}

export class FsStorage implements port.ObjectStorage {
  readonly backend: port.StorageBackend;
  readonly capabilities = { versioning: true, lifecycle: true, tags: true, nested_keys: true, shared: false, records_maker: false };
  readonly #db: Database.Database;
  readonly #buckets: Buckets;
  readonly #versions: Versions;
  readonly #bodies: Bodies;
  readonly #reserve: Reserve;
  readonly #reads = new Reads();
  readonly #expiry: Expiry;
  readonly #removals: Removals;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #busy = new Set<Promise<unknown>>();
  #closed = false;

  constructor(root: string, db: Database.Database, reserve: Reserve, { clock, random, log }: FsStorageOptions) {
    this.backend = { kind: 'fs', identity: root };
    this.#db = db;
    this.#buckets = new Buckets(db);
    this.#versions = new Versions(db, () => random.uuid());
    this.#bodies = new Bodies(join(root, 'bodies'), random);
    this.#reserve = reserve;
    this.#clock = clock;
    this.#log = log;
    this.#removals = new Removals({
      buckets: this.#buckets,
      versions: this.#versions,
      shrink: (work) => this.#shrink(work),
      drop: (ids) => this.#drop(ids),
    });
    this.#expiry = new Expiry(
      {
        aging: () => this.#buckets.aging(),
        startAges: () => this.#change(() => this.#versions.startAges(clock.now())),
        expireSome: (...one) => this.#expireSome(...one),
      },
      clock,
      log,
    );
  }

  readBuckets(names: readonly string[]): Promise<port.BucketState[]> {
    return this.#do('read the buckets', () => this.#buckets.read(names));
  }

  /** `made_by` is checked and not kept: in a folder of the node's own there is nothing that bootplane did not make. */
  ensureBucket(name: string, { made_by }: { made_by?: string } = {}): Promise<void> {
    return this.#do(`make bucket ${name}`, async () => {
      checkBucketName(name);
      const why = whyNoMaker(made_by);
      if (why !== undefined) throw new StorageError('bad_name', why);
      // The name of a bucket that is on its way out is free once it has left.
      while (this.#buckets.isLeaving(name)) await this.#removals.finish(name);
      this.#change(() => this.#buckets.ensure(name));
    });
  }

  ensureVersioning(name: string, enabled: boolean): Promise<void> {
    return this.#do(`set versioning of bucket ${name}`, () => this.#change(() => this.#buckets.setVersioning(name, enabled)));
  }

  ensureLifecycle(name: string, rules: readonly LifecycleRule[]): Promise<void> {
    return this.#do(`set lifecycle rules of bucket ${name}`, () => this.#change(() => this.#buckets.mergeLifecycle(name, rules)));
  }

  ensureTags(name: string, tags: Readonly<Record<string, string>>): Promise<void> {
    return this.#do(`tag bucket ${name}`, () => this.#change(() => this.#buckets.mergeTags(name, tags)));
  }

  /** After the first step nobody sees it any more; where the rest breaks off, the next start takes it, or the same call again. */
  removeBucket(name: string, { if_empty = false }: { if_empty?: boolean } = {}): Promise<void> {
    return this.#do(`remove bucket ${name}`, () => this.#removals.remove(name, if_empty));
  }

  removeLifecycleRules(name: string, ids: readonly string[]): Promise<void> {
    return this.#do(`remove lifecycle rules of bucket ${name}`, () => this.#change(() => this.#buckets.removeRules(name, ids)));
  }

  removeTags(name: string, names: readonly string[]): Promise<void> {
    return this.#do(`remove tags of bucket ${name}`, () => this.#change(() => this.#buckets.removeTags(name, names)));
  }

  bucketStats(name: string): Promise<port.BucketStats> {
    return this.#do(`count what bucket ${name} holds`, () => {
      this.#buckets.get(name);
      return this.#versions.stats(name);
    });
  }

  put(bucket: string, key: string, body: port.ObjectBody, options: port.PutOptions = {}): Promise<port.ObjectInfo> {
    return this.#do(`store ${bucket}/${key}`, async () => {
      const written = await this.#writeBody(bucket, keyBytes(key), body, options);
      return await this.#commitBody(bucket, key, written, options);
    }).catch(async (error: unknown) => {
      // The source of a body that was refused has to be released; one that was read is released already.
      if (!(body instanceof Uint8Array) && !body.locked) await body.cancel(error).catch(() => undefined);
      throw error;
    });
  }

  /** Every byte is verified before it leaves, for ranges too: see `VerifiedRead`. */
  get(bucket: string, key: string, options: port.GetOptions = {}): Promise<port.StoredObject> {
    return this.#do(`read ${bucket}/${key}`, async () => {
      for (let attempt = 0; ; attempt += 1) {
        const found = this.#find(bucket, key, options.version_id);
        const file = await this.#bodies.open(found.body.id).catch((cause: unknown) => {
          // Another body took its place between the two steps: look again.
          if (attempt < 10 && !this.#versions.knowsBody(found.body.id)) return undefined;
          // Too many open files, say, is no damage.
          if (codeOf(cause) !== 'ENOENT') throw cause;
          throw new StorageError('corrupt', `the body of ${bucket}/${key} can't be opened (${found.body.id}): ${String(cause)}`, { cause });
        });
        if (file !== undefined)
          return { info: found.info, body: await this.#reads.start(file, found.body, `${bucket}/${key}`, options.range) };
      }
    });
  }

  head(bucket: string, key: string, options: { version_id?: string } = {}): Promise<port.ObjectInfo> {
    return this.#do(`read ${bucket}/${key}`, () => this.#find(bucket, key, options.version_id).info);
  }

  list(bucket: string, options: port.ListOptions = {}): Promise<{ objects: port.ObjectInfo[]; next?: string }> {
    return this.#do(`list bucket ${bucket}`, () => {
      this.#buckets.get(bucket);
      const limit = options.limit ?? 1000;
      if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw new StorageError('failed', `limit must be 1 to 1000, not ${limit}`);
      const objects = this.#versions.list(bucket, keyRange(options.prefix, options.after), limit + 1);
      if (objects.length <= limit) return { objects };
      objects.pop();
      const last = objects.at(-1);
      return last === undefined ? { objects } : { objects, next: last.key };
    });
  }

  listVersions(bucket: string, options: { prefix?: string } = {}): Promise<port.ObjectVersion[]> {
    return this.#do(`list versions in bucket ${bucket}`, () => {
      this.#buckets.get(bucket);
      return this.#versions.listVersions(bucket, keyRange(options.prefix));
    });
  }

  delete(bucket: string, key: string, options: { version_id?: string } = {}): Promise<void> {
    return this.#do(`delete ${bucket}/${key}`, async () => {
      const bytes = keyBytes(key);
      const { dropped } = await this.#shrink((): Change => {
        const state = this.#buckets.get(bucket);
        if (options.version_id !== undefined) return this.#versions.removeVersion(bucket, bytes, options.version_id);
        return this.#versions.remove(state, bytes, this.#moment());
      });
      await this.#drop(dropped);
    });
  }

  /** Applies the lifecycle rules once, if the clock is trusted; resolves with how many objects expired. */
  expire(): Promise<number> {
    return this.#do('expire objects', () => this.#expiry.expire());
  }

  /** Removes bodies that a crash left without a row; resolves with how many. */
  sweep(): Promise<number> {
    return this.#do('sweep the storage folder', () => this.#bodies.sweep((id) => this.#versions.knowsBody(id)));
  }

  /** The owner's background work: what a crash left, then expiry until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#do('finish removals', () => this.#removals.finishAll()).catch((error: unknown) =>
      this.#log.error('storage could not finish a removal', { error: String(error) }),
    );
    await this.sweep().then(
      (bodies) => bodies > 0 && this.#log.info('storage removed what a crash left', { bodies }),
      (error: unknown) => this.#log.error('storage sweep failed', { error: String(error) }),
    );
    await this.#expiry.run(signal);
  }

  /** Waits for calls under way; streams that are still being read end with an error. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#busy);
    await this.#reads.close();
    this.#db.close();
  }

  async #writeBody(bucket: string, key: Buffer, body: port.ObjectBody, options: port.PutOptions): Promise<BodyFile> {
    this.#buckets.get(bucket);
    if (options.if_absent) this.#refusePresent(bucket, key);
    const written = await this.#bodies.write(body);
    if (options.sha256 === undefined || options.sha256 === written.sha256) return written;
    await this.#bodies.discard(written.id);
    const sizes = `the ${written.size} bytes that arrived have SHA-256 ${written.sha256}, not ${options.sha256}`;
    throw new StorageError('checksum_mismatch', `${bucket}/${key.toString('utf8')}: ${sizes}; nothing was kept, send it again`);
  }

  async #commitBody(bucket: string, key: string, body: BodyFile, options: port.PutOptions): Promise<port.ObjectInfo> {
    const bytes = keyBytes(key);
    try {
      const { info, dropped } = this.#change(() => {
        if (options.if_absent) this.#refusePresent(bucket, bytes);
        return this.#versions.add(this.#buckets.get(bucket), { key: bytes, body, content_type: options.content_type }, this.#moment());
      });
      this.#bodies.claim(body.id);
      await this.#drop(dropped);
      return info;
    } catch (error) {
      if (!this.#versions.knowsBody(body.id)) await this.#bodies.discard(body.id);
      throw error;
    }
  }

  #refusePresent(bucket: string, key: Buffer): void {
    if (this.#versions.find(bucket, key) !== undefined)
      throw new StorageError('already_exists', `${bucket}/${key.toString('utf8')} exists already and was left as it is`);
  }

  #find(bucket: string, key: string, versionId?: string): Found {
    this.#buckets.get(bucket);
    const found = this.#versions.find(bucket, keyBytes(key), versionId);
    if (found !== undefined) return found;
    const version = versionId === undefined ? '' : ` in version ${versionId}`;
    throw new StorageError('no_such_key', `there is no object ${bucket}/${key}${version}`);
  }

  async #expireSome(bucket: string, range: KeyRange, untilMs: number): Promise<number> {
    if (!this.#buckets.has(bucket)) return 0;
    const expired = () => this.#versions.expired(bucket, range, untilMs, EXPIRY_CHUNK);
    if (expired().length === 0) return 0;
    const changes = await this.#shrink(() => {
      const state = this.#buckets.get(bucket);
      return expired().map((key) => this.#versions.remove(state, key, this.#moment()));
    });
    await this.#drop(changes.flatMap(({ dropped }) => dropped));
    return changes.length;
  }

  #moment(): Moment {
    return { now_ms: this.#clock.now(), trusted: this.#clock.trusted() };
  }

  /** Removes bodies that no row names any more. Readers that have one open keep it to its end. */
  async #drop(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.#bodies.discard(id);
    if (this.#reserve.released) await this.#reserve.fill();
  }

  /** All or nothing, durable when it returns. */
  #change<T>(work: () => T): T {
    return this.#db.transaction(work).immediate();
  }

  /** A change that makes room: on a full disk it may use the reserve, or nothing could ever be freed. */
  async #shrink<T>(work: () => T): Promise<T> {
    try {
      return this.#change(work);
    } catch (error) {
      if (!isFull(error)) throw error;
      await this.#reserve.release();
      this.#checkpoint();
      return this.#change(work);
    }
  }

  /** Moves what the write-ahead log holds into the catalog and gives the log's space back, as far as that goes. */
  #checkpoint(): void {
    try {
      this.#db.pragma('wal_checkpoint(truncate)');
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }

  /** Gives every failure its kind and a sentence, and lets `close` wait for what runs. */
  async #do<T>(doing: string, work: () => T | Promise<T>): Promise<T> {
    if (this.#closed) throw new StorageError('failed', `could not ${doing}: the storage was closed`);
    const running = (async () => work())();
    this.#busy.add(running);
    try {
      return await running;
    } catch (error) {
      throw toStorageError(error, doing);
    } finally {
      this.#busy.delete(running);
    }
  }
}
