import { setImmediate } from 'node:timers/promises';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import type { Buckets } from './buckets.ts';
import type { Versions } from './versions.ts';

/** Versions that one transaction takes, so that it never holds up others for long and fits into the reserve. */
const CHUNK = 50;

export interface RemovalParts {
  readonly buckets: Buckets;
  readonly versions: Versions;
  /** All or nothing, durable when it resolves, also on a full disk. */
  readonly shrink: <T>(work: () => T) => Promise<T>;
  /** Removes bodies that no row names any more. */
  readonly drop: (ids: readonly string[]) => Promise<void>;
}

/**
 * Takes buckets away. The first commit makes the bucket invisible with all that it holds; its rows and bodies then go in
 * small parts, and what a crash leaves of them the next start takes. Until then its name is not free.
 */
export class Removals {
  readonly #parts: RemovalParts;

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  async remove(name: string, if_empty: boolean): Promise<void> {
    const { buckets, versions, shrink } = this.#parts;
    await shrink(() => {
      if (!buckets.has(name)) return;
      if (if_empty && versions.holdsAny(name)) {
        throw new StorageError('not_empty', `bucket ${name} holds objects, versions or delete markers and was left as it is`);
      }
      buckets.leave(name);
    });
    await this.finish(name);
  }

  /** Takes away what is left of a bucket that is leaving; does nothing to any other. */
  async finish(name: string): Promise<void> {
    while (await this.#finishSome(name)) await setImmediate();
  }

  /** Takes away what a crash has left. */
  async finishAll(): Promise<void> {
    for (const name of this.#parts.buckets.leaving()) await this.finish(name);
  }

  /** Whether there may be more. */
  async #finishSome(name: string): Promise<boolean> {
    const { buckets, versions, shrink, drop } = this.#parts;
    const { bodies, more } = await shrink(() => {
      // Another call may have ended it, and the bucket of this name now may be a new one.
      if (!buckets.isLeaving(name)) return { bodies: [], more: false };
      const removed = versions.removeSome(name, CHUNK);
      if (removed.count === 0) buckets.forget(name);
      return { bodies: removed.bodies, more: removed.count > 0 };
    });
    await drop(bodies);
    return more;
  }
}
