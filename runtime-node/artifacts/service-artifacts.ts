import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import type { PlannedService } from '../../shared/contract/plan.ts';
import type { ProvedSource } from '../../shared/discovery/types.ts';
import { ArtifactError, type ArtifactStore } from '../../shared/ports/artifact-store.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Log } from '../../shared/ports/log.ts';
import { ProcessError } from '../../shared/ports/process-host.ts';
import type { Random } from '../../shared/ports/random.ts';
import type { StateFiles } from '../../shared/ports/state-files.ts';
import { keptArtifacts, noteUse } from '../../shared/reconcile/artifacts/keep.ts';
import { Slots } from '../../shared/reconcile/slots.ts';
import { messageOf } from '../thrown.ts';
import { fetchArtifact } from './fetch.ts';
import { type AskDisk, Room } from './room.ts';
import { SharedWork, type Waiter } from './shared-work.ts';
import { folderName, Shelf } from './shelf.ts';
import { UnpackError, type UnpackLimits } from './tree.ts';
import { type Packing, packingOf, unpack } from './unpack.ts';
import { openUses, type Uses } from './uses.ts';

export interface ServiceArtifactsDeps {
  /** The folder of unpacked artifacts, which the users of services can enter; made when the first service needs one. */
  readonly openFolder: () => Promise<string>;
  /** That of this node's own Supervisor: what was fetched is there for others, too. */
  readonly store: ArtifactStore;
  /** A folder on the disk where the store keeps its bytes. Absent: they are elsewhere. */
  readonly stored_in?: string;
  readonly files: StateFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly sources: (signal: AbortSignal) => AsyncIterable<ProvedSource>;
  /** The services that run now, adopted ones too. */
  readonly running: () => Promise<readonly { readonly name: string; readonly version: string }[]>;
  /** The services of the held Cluster Plan, for whatever node they are; undefined while none is held. */
  readonly planned: () => readonly PlannedService[] | undefined;
  readonly limits?: UnpackLimits;
  /** Default: the file system. */
  readonly disk?: AskDisk;
}

export interface ServiceArtifacts {
  /**
   * The folder that a service starts in: that of its artifact, fetched, verified and unpacked first. Nothing without
   * one. Rejects with what was tried when nobody gives it, and with `ProcessError` for one that can't be used.
   */
  prepare(service: PlannedService, signal: AbortSignal, note?: (words: string) => void): Promise<{ readonly cwd?: string }>;
  /** The store for the Supervisor: what somebody pushes into it is never dropped. */
  readonly store: ArtifactStore;
}

/** Artifacts that are fetched at a time. */
const FETCHES = 2;

/** Brings the artifacts of services to this node and keeps the last ones. */
export function createServiceArtifacts(deps: ServiceArtifactsDeps): ServiceArtifacts {
  const keeper = new Keeper(deps);
  return {
    prepare: (service, signal, note = () => undefined) => keeper.prepare(service, { signal, note }),
    store: {
      ...deps.store,
      put: async (sha256, body) => {
        // First, since it could be dropped between the two.
        await keeper.pin(sha256);
        return deps.store.put(sha256, body);
      },
    },
  };
}

interface Wanted {
  readonly sha256: string;
  readonly packing: Packing;
  readonly name: string;
}

class Keeper {
  readonly #deps: ServiceArtifactsDeps;
  #shelving: Promise<Shelf> | undefined;
  readonly #slots = new Slots(FETCHES);
  readonly #work = new SharedWork<string>();
  /** By hash: one artifact may have several folders. */
  readonly #fetches = new SharedWork<void>();
  /** Pushed since this process started, perhaps while they were fetched. */
  readonly #pushed = new Set<string>();
  /** Folders that were compared with their lists since this process started, and since a service changed its version to theirs. */
  readonly #verified = new Set<string>();
  /** The version that each service was prepared for last, with its folder. */
  readonly #latest = new Map<string, string>();
  #opening: Promise<Uses> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: ServiceArtifactsDeps) {
    this.#deps = deps;
  }

  async prepare({ name: service, version, artifact }: PlannedService, waiter: Waiter): Promise<{ readonly cwd?: string }> {
    if (artifact === undefined) return {};
    const { sha256 } = artifact;
    try {
      const packing = packingOf(artifact.path);
      const name = folderName(sha256, packing);
      this.#noteVersion(service, `${version} in ${name}`, name);
      const cwd = await this.#work.join(name, waiter, (all) => this.#bring({ sha256, packing, name }, all));
      await this.#inTurn(() => this.#note({ service, version, sha256 }));
      return { cwd };
    } catch (error) {
      waiter.signal.throwIfAborted();
      throw inWords(error, service, artifact);
    }
  }

  /** What was kept of a version that did not run may have been changed meanwhile; what is started again after a crash was compared. */
  #noteVersion(service: string, latest: string, name: string): void {
    if (this.#latest.get(service) !== latest) this.#verified.delete(name);
    this.#latest.set(service, latest);
  }

  pin(sha256: string): Promise<void> {
    this.#pushed.add(sha256);
    return this.#inTurn(async () => {
      const uses = await this.#uses();
      if (uses.fetched.has(sha256)) await uses.save(uses.list, without(uses.fetched, sha256));
    });
  }

  async #bring(wanted: Wanted, waiter: Waiter): Promise<string> {
    const { name } = wanted;
    const shelf = await this.#shelf();
    if (await this.#isUsable(shelf, wanted)) return shelf.path(name);
    const folder = await this.#fetchAndUnpack(wanted, waiter);
    this.#verified.add(name);
    return folder;
  }

  /** Its store drops one that it finds damaged: then what is wrong is not the artifact, and another node may have it whole. */
  async #fetchAndUnpack(wanted: Wanted, waiter: Waiter): Promise<string> {
    await this.#fetchOnce(wanted, waiter);
    try {
      return await this.#unpack(wanted, waiter.signal);
    } catch (error) {
      const { sha256 } = wanted;
      if (waiter.signal.aborted || (await this.#isStored(sha256))) throw error;
      this.#deps.log.warn(`an artifact that was stored here could not be unpacked and is fetched anew: ${messageOf(error)}`, { sha256 });
    }
    await this.#fetchOnce(wanted, waiter);
    return this.#unpack(wanted, waiter.signal);
  }

  async #fetchOnce({ sha256 }: Wanted, waiter: Waiter): Promise<void> {
    await this.#fetches.join(sha256, waiter, (all) => this.#slots.run(() => this.#fetch(sha256, all)));
    waiter.note('unpacking its artifact');
  }

  /** True too where a store that is away can't tell. */
  #isStored(sha256: string): Promise<boolean> {
    return this.#deps.store.head(sha256).then(
      (found) => found !== undefined,
      () => true,
    );
  }

  /** A folder from an earlier run is compared with its list first, unless a service runs in it: then it is left alone. */
  async #isUsable(shelf: Shelf, { name, sha256 }: Wanted): Promise<boolean> {
    if (!(await shelf.has(name))) return false;
    if (this.#verified.has(name) || (await this.#isRunning(sha256))) return true;
    const damage = await shelf.findDamage(name);
    if (damage === undefined) {
      this.#verified.add(name);
      return true;
    }
    const kept = await shelf.setAside(name);
    this.#deps.log.error(`an unpacked artifact was changed and is unpacked anew: ${damage}; it is kept as ${kept}`, { sha256 });
    return false;
  }

  async #isRunning(sha256: string): Promise<boolean> {
    const { list } = await this.#uses();
    const running = await this.#deps.running();
    return list.some((use) => use.sha256 === sha256 && running.some((one) => one.name === use.service && one.version === use.version));
  }

  async #fetch(sha256: string, { signal, note }: Waiter): Promise<void> {
    const { store, log } = this.#deps;
    if ((await store.head(sha256)) !== undefined) return;
    const shelf = await this.#shelf();
    const path = await shelf.partial(sha256);
    const { received_bytes } = await fetchArtifact(this.#deps, {
      sha256,
      path,
      room: this.#room(shelf.root),
      need: (total, here) => this.#need(shelf, total, here),
      signal,
      note: (words) => note(`fetching its artifact: ${words}`),
      isThere: async () => (await store.head(sha256)) !== undefined,
      accept: (complete) => this.#accept(sha256, complete),
    });
    await rm(path, { force: true });
    log.info('an artifact was fetched', { sha256, received_bytes });
  }

  /** The store compares the hash while it copies. */
  async #accept(sha256: string, path: string): Promise<'taken' | 'mismatch'> {
    try {
      await this.#deps.store.put(sha256, Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>);
    } catch (error) {
      if (error instanceof ArtifactError && error.kind === 'mismatch') return 'mismatch';
      if (error instanceof ArtifactError && error.kind === 'full') await rm(path, { force: true });
      throw error;
    }
    await this.#inTurn(async () => {
      const uses = await this.#uses();
      if (!this.#pushed.has(sha256)) await uses.save(uses.list, new Set([...uses.fetched, sha256]));
    });
    return 'taken';
  }

  async #unpack({ sha256, packing, name }: Wanted, signal: AbortSignal): Promise<string> {
    const { store, limits } = this.#deps;
    const shelf = await this.#shelf();
    const open = async () => {
      const found = await store.get(sha256);
      if (found === undefined) throw new Error('what was stored of it is damaged and was dropped');
      return Readable.fromWeb(found.body as NodeStream<Uint8Array>);
    };
    const room = this.#room(shelf.root);
    return shelf.add(name, (folder, scratch) =>
      unpack({ packing, open, folder, scratch, room, signal, ...(limits === undefined ? {} : { limits }) }),
    );
  }

  /** Notes a use, and drops what no longer has to stay. Without a plan nobody knows what that is. */
  async #note(use: { service: string; version: string; sha256: string }): Promise<void> {
    const { running, planned, store, log } = this.#deps;
    const uses = await this.#uses();
    await uses.save(noteUse(uses.list, use, await running()), uses.fetched);
    const plan = planned();
    if (plan === undefined) return;
    const kept = keptArtifacts(uses.list, plan);
    const keeps = (sha256: string) => kept.has(sha256) || this.#work.names().some((name) => name.startsWith(sha256));
    try {
      await (await this.#shelf()).removeAllBut(keeps);
      const left = [...uses.fetched].filter((sha256) => !keeps(sha256));
      for (const sha256 of left) await store.delete(sha256);
      if (left.length > 0) await uses.save(uses.list, new Set([...uses.fetched].filter(keeps)));
    } catch (error) {
      log.warn(`artifacts that are not needed any more can't be removed: ${messageOf(error)}`);
    }
  }

  /** What was fetched is removed when the store has all of it: on one disk it is there twice until then. */
  async #need({ root }: Shelf, total: number, here: number): Promise<void> {
    const { stored_in } = this.#deps;
    const isTwice = stored_in !== undefined && (await isOneDisk(root, stored_in));
    if (isTwice) return this.#room(root).need(2 * total - here, 'twice its size until it is stored');
    await this.#room(root).need(total - here);
    if (stored_in !== undefined) await this.#room(stored_in).need(total);
  }

  #room(folder: string): Room {
    return new Room(folder, this.#deps.disk);
  }

  /** One that could not be opened is tried again. */
  #shelf(): Promise<Shelf> {
    this.#shelving ??= this.#deps.openFolder().then(
      (folder) => new Shelf(folder),
      (error: unknown) => {
        this.#shelving = undefined;
        throw error;
      },
    );
    return this.#shelving;
  }

  #uses(): Promise<Uses> {
    this.#opening ??= openUses(this.#deps);
    return this.#opening;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

async function isOneDisk(one: string, other: string): Promise<boolean> {
  return (await stat(one)).dev === (await stat(other)).dev;
}

function without(set: ReadonlySet<string>, one: string): ReadonlySet<string> {
  return new Set([...set].filter((other) => other !== one));
}

/** What is wrong with an archive stays wrong: nobody starts such a service again and again. */
function inWords(error: unknown, service: string, { sha256, path }: NonNullable<PlannedService['artifact']>): Error {
  const message = `the artifact of service ${service} (${path}, ${sha256.slice(0, 12)}) can't be used: ${messageOf(error)}`;
  if (error instanceof UnpackError) return new ProcessError('not_permitted', message, { cause: error });
  return new ProcessError('failed', message, { cause: error });
}
