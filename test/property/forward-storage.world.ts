import { createHash } from 'node:crypto';
import type { Backlog } from '../../shared/ports/backlog.ts';
import { type ObjectInfo, type ObjectStorage, StorageError } from '../../shared/ports/object-storage.ts';
import { createForwardStorage } from '../../shared/reconcile/fall-forward/storage.ts';
import { createMemoryBacklog } from '../support/memory-backlog.ts';
import { memoryObjectStorage } from '../support/memory-object-storage.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

export const BUCKET = 'data';
export const KEYS = ['a', 'b'] as const;
/** What the texts of somebody else start with. */
export const FOREIGN = 'foreign';
export type Key = (typeof KEYS)[number];
/** The text of an object, or `undefined` for none. */
export type Value = string | undefined;

/** What happens to the calls of a node to its three stores, one after another; then nothing any more. Numbers from 0 to 39: the lowest are faults. */
export type Fates = readonly number[];

interface Incarnation {
  readonly forward: ReturnType<typeof createForwardStorage>;
  readonly died: Promise<void>;
  readonly isDead: () => boolean;
  stop(): Promise<void>;
}

/** A store and a disk that outlive the node, and the node. */
export class World {
  readonly clock = new SimulatedClock();
  readonly store = memoryObjectStorage(this.clock);
  readonly fallback = memoryObjectStorage(this.clock);
  readonly backlog = createMemoryBacklog(this.clock);
  isAway = false;
  /** What callers store just now. Anything else that arrives may replace nothing. */
  readonly underWay = new Set<Value>();
  readonly deleting = new Set<string>();
  readonly replaced: string[] = [];
  /**
   * Keys of what became a conflict: the moment it is noted on the disk counts, since its event is lost with the answer of the
   * disk or with the node, and a write that follows at once takes its place in the list.
   */
  readonly conflicted = new Set<string>();
  /** The hash of what a node was told to be there, by key, until it writes to it. */
  readonly #seen = new Map<string, string>();
  #fates: number[];
  #node: Incarnation | undefined;

  constructor(fates: Fates) {
    this.#fates = [...fates];
  }

  /** `held`: what the embedded default held before there was an external, by key. */
  async start(held: ReadonlyMap<Key, string> = new Map()): Promise<void> {
    for (const side of [this.store, this.fallback]) await side.ensureBucket(BUCKET);
    for (const [key, text] of held) {
      const { sha256: hash = '', size } = await this.fallback.put(BUCKET, key, new TextEncoder().encode(text));
      const thing = { component: 'storage', identity: this.store.backend.identity, place: BUCKET, key } as const;
      await this.backlog.add([{ ...thing, hash, size }], { if_unknown: true });
    }
    this.#node = this.#boot();
  }

  get node(): Incarnation {
    if (this.#node === undefined) throw new Error('start it first');
    return this.#node;
  }

  /** From now on all goes well. */
  async heal(): Promise<void> {
    this.#fates = [];
    this.isAway = false;
    // A node that was to die in a call that is under way still does.
    await this.clock.advance(0);
    await this.revive();
    for (let turn = 0; turn < 400 && this.node.forward.status().presence !== 'present'; turn += 1) await this.clock.advance(1000);
  }

  /** Runs calls of the node beside one another until each has ended or the node has died. An outcome is absent where it died first. */
  async together<T>(calls: readonly ((port: ObjectStorage) => Promise<T>)[]): Promise<(PromiseSettledResult<T> | undefined)[]> {
    const outcomes: (PromiseSettledResult<T> | undefined)[] = calls.map(() => undefined);
    const node = this.node;
    let left = calls.length;
    for (const [index, call] of calls.entries())
      void call(node.forward.port).then(
        (value) => {
          left -= 1;
          outcomes[index] = { status: 'fulfilled', value };
        },
        (reason: unknown) => {
          left -= 1;
          outcomes[index] = { status: 'rejected', reason };
        },
      );
    for (let turn = 0; left > 0 && !node.isDead(); turn += 1) {
      if (turn > 1000) throw new Error('a call never ends');
      await this.clock.advance(100);
    }
    // What was said in the very moment of its death counts, and what comes later nobody hears.
    const heard = [...outcomes];
    await this.revive();
    return heard;
  }

  async revive(): Promise<void> {
    if (!this.node.isDead()) return;
    // What was on its way to a store arrives.
    await this.clock.advance(0);
    this.#node = this.#boot();
  }

  async conflictHashes(key: Key): Promise<{ readonly hash: string; readonly deleted?: true }[]> {
    const all = await this.backlog.conflicts({ component: 'storage', identity: this.store.backend.identity }, 100);
    return all.filter((entry) => entry.key === key);
  }

  /** Notes what would replace something later than its caller heard of it. */
  async #watchPut([, key, body, options]: Parameters<ObjectStorage['put']>): Promise<Uint8Array> {
    const bytes = new Uint8Array(await new Response(body as BodyInit).arrayBuffer());
    const text = new TextDecoder().decode(bytes);
    const there = await readValue(this.store, key as Key);
    if (there !== undefined && options?.if_absent !== true && !this.underWay.has(text)) this.replaced.push(`${there} by ${text}`);
    return bytes;
  }

  /**
   * Notes a deletion of what somebody else wrote, later than its caller heard of it. The port has no deletion on condition, so
   * who asks first what is there still deletes what comes between that answer and the deletion: that alone is let pass.
   */
  async #watchDelete([, key]: Parameters<ObjectStorage['delete']>): Promise<void> {
    const there = await readValue(this.store, key as Key);
    const seen = this.#seen.get(key);
    if (there?.startsWith(FOREIGN) !== true || this.deleting.has(key)) return;
    if (seen === undefined || seen === hashOf(there)) this.replaced.push(`${there} by nothing`);
  }

  #watchHead(method: string, [, key]: readonly unknown[], answer: unknown): void {
    if (method === 'head') this.#seen.set(String(key), (answer as ObjectInfo).sha256 ?? '');
    else if (method === 'put' || method === 'delete') this.#seen.delete(String(key));
  }

  async #watchSettle([target, ended]: Parameters<Backlog['settle']>): Promise<void> {
    const numbers = new Set(ended.map(({ number }) => number));
    for (const { key, number } of await this.backlog.conflicts(target, 100)) if (numbers.has(number)) this.conflicted.add(key);
  }

  #boot(): Incarnation {
    const death = Promise.withResolvers<void>();
    let isDead = false;
    const die = () => {
      isDead = true;
      death.resolve();
    };
    const never = () => new Promise<never>(() => undefined);
    const reach = <Port extends object>(port: Port, side: 'external' | 'disk'): Port =>
      new Proxy(port, {
        get: (target, method) => {
          const real: unknown = Reflect.get(target, method);
          if (typeof real !== 'function') return real;
          return async (...args: unknown[]) => {
            if (isDead) return never();
            const fate = this.#fates.shift() ?? 8;
            for (let hop = 0; hop < fate % 4; hop += 1) await new Promise((resolve) => setImmediate(resolve));
            if (isDead) return never();
            if (fate === 0) die();
            if (isDead) return never();
            if (side === 'external' && (this.isAway || fate === 1 || fate === 4)) throw away();
            if (side === 'disk' && fate === 4) throw new StorageError('failed', 'the disk does not work');
            if (side === 'external' && method === 'put') args[2] = await this.#watchPut(args as Parameters<ObjectStorage['put']>);
            if (side === 'external' && method === 'delete') await this.#watchDelete(args as Parameters<ObjectStorage['delete']>);
            const answer: unknown = await real.apply(target, args);
            if (side === 'external') this.#watchHead(String(method), args, answer);
            if (method === 'settle') await this.#watchSettle(args as Parameters<Backlog['settle']>);
            if (fate === 2) die();
            if (isDead) return never();
            if (side === 'external' && (fate === 3 || fate === 5)) throw away();
            if (side === 'disk' && fate === 5) throw new StorageError('failed', 'the disk did it, and its answer got lost');
            return answer;
          };
        },
      });
    const forward = createForwardStorage({
      external: reach(this.store, 'external'),
      fallback: reach(this.fallback, 'disk'),
      backlog: reach(this.backlog, 'disk'),
      clock: this.clock,
      random: seededRandom(),
      log: recordingLog(),
    });
    const ended = new AbortController();
    const running = forward.run(ended.signal);
    const stop = async () => {
      ended.abort();
      await running;
    };
    return { forward, died: death.promise, isDead: () => isDead, stop };
  }
}

function away(): StorageError {
  return new StorageError('backend_away', 'nothing listens');
}

export async function readValue(storage: ObjectStorage, key: Key): Promise<Value> {
  try {
    const { body } = await storage.get(BUCKET, key);
    return await new Response(body as BodyInit).text();
  } catch (error) {
    if (error instanceof StorageError && error.kind === 'no_such_key') return undefined;
    throw error;
  }
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
