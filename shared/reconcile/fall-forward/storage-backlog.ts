import type { Backlog, BacklogCounts, Entry, NewEntry, Target } from '../../ports/backlog.ts';
import { type ObjectInfo, StorageError } from '../../ports/object-storage.ts';
import { WRITTEN_ANEW } from './conflict-desk.ts';

/** Objects that wait for one external. Rejects with `StorageError`. */
export class StorageBacklog {
  readonly #backlog: Backlog;
  readonly #target: Target;
  #counts: BacklogCounts = { waiting: 0, forwarded: 0, conflicts: 0 };

  constructor(backlog: Backlog, identity: string) {
    this.#backlog = backlog;
    this.#target = { component: 'storage', identity };
  }

  /** As they were after the last change. */
  get counts(): BacklogCounts {
    return this.#counts;
  }

  async recount(): Promise<BacklogCounts> {
    this.#counts = await this.#do(() => this.#backlog.counts(this.#target));
    return this.#counts;
  }

  async find(bucket: string, key: string): Promise<Entry | undefined> {
    const [entry] = await this.#do(() => this.#backlog.waiting(this.#target, [{ place: bucket, key }]));
    return entry;
  }

  /** Durable when it resolves. */
  async add(bucket: string, { key, sha256, size }: Pick<ObjectInfo, 'key' | 'sha256' | 'size'>): Promise<void> {
    if (sha256 === undefined) throw new StorageError('failed', `the embedded default keeps no SHA-256 of ${bucket}/${key}`);
    await this.#add({ place: bucket, key, hash: sha256, size });
  }

  /** In place of an entry whose object is to be deleted. */
  async addDeletion({ place, key, hash, size }: Entry): Promise<void> {
    await this.#add({ place, key, hash, size, deleted: true });
  }

  async settle({ number }: Entry, state: 'forwarded' | 'conflict', detail?: string): Promise<void> {
    await this.#do(() => this.#backlog.settle(this.#target, [{ number, state, ...(detail === undefined ? {} : { detail }) }]));
    await this.#countAnew();
  }

  conflicts(limit: number, after: number): Promise<Entry[]> {
    return this.#do(() => this.#backlog.conflicts(this.#target, limit, after));
  }

  async findConflict(bucket: string, key: string): Promise<Entry | undefined> {
    const [entry] = await this.#do(() => this.#backlog.conflicting(this.#target, [{ place: bucket, key }]));
    return entry;
  }

  /** The key was written or deleted in the external since, so a conflict about it is over. Never rejects: a person can end it too. */
  async endConflict(bucket: string, key: string): Promise<void> {
    if (this.#counts.conflicts === 0) return;
    try {
      const entry = await this.findConflict(bucket, key);
      if (entry !== undefined) await this.settle(entry, 'forwarded', WRITTEN_ANEW);
    } catch {
      // The call that it follows was done all the same.
    }
  }

  next(limit: number, after: number): Promise<Entry[]> {
    return this.#do(() => this.#backlog.next(this.#target, limit, after));
  }

  list(bucket: string, options: { prefix?: string; after?: string; limit: number }): Promise<Entry[]> {
    return this.#do(() => this.#backlog.list(this.#target, bucket, options));
  }

  async #add(entry: Omit<NewEntry, keyof Target>): Promise<void> {
    await this.#do(() => this.#backlog.add([{ ...this.#target, ...entry }]));
    await this.#countAnew();
  }

  /** What is noted is noted, also where it can't be counted just now: each pass over what waits counts again. */
  async #countAnew(): Promise<void> {
    await this.recount().catch(() => undefined);
  }

  async #do<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new StorageError('failed', `what waits for the object storage can't be looked up or noted: ${why}`, { cause: error });
    }
  }
}
