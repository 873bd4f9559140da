import type { Backlog } from '../../../../shared/ports/backlog.ts';
import { type ObjectBody, type ObjectStorage, StorageError } from '../../../../shared/ports/object-storage.ts';
import { createForwardStorage } from '../../../../shared/reconcile/fall-forward/storage.ts';
import type { ForwardEvent } from '../../../../shared/reconcile/fall-forward/types.ts';
import { createMemoryBacklog } from '../../../support/memory-backlog.ts';
import { memoryObjectStorage } from '../../../support/memory-object-storage.ts';
import { recordingLog } from '../../../support/recording-log.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { SimulatedClock } from '../../../support/simulated-clock.ts';

/** What happens to a call: it fails before it does anything, or after it has done all; or it is held up; or nothing. */
export type Meddle = (method: string, args: readonly unknown[]) => 'before' | 'after' | Promise<void> | undefined;

/** The way to a store. While it is `away` no call arrives. */
export function linkTo(store: ObjectStorage) {
  const link = { isAway: false, meddle: (() => undefined) as Meddle, calls: [] as string[] };
  const away = (method: string) => new StorageError('backend_away', `${method}: nothing listens`);
  const port = new Proxy(store, {
    get(target, method: keyof ObjectStorage & string) {
      const real = target[method];
      if (typeof real !== 'function') return real;
      return async (...args: unknown[]) => {
        link.calls.push(method);
        const fate = link.meddle(method, args);
        if (fate instanceof Promise) await fate;
        if (link.isAway || fate === 'before') throw away(method);
        const answer: unknown = await (real as (...all: unknown[]) => Promise<unknown>).apply(target, args);
        if (fate === 'after' || link.isAway) throw away(method);
        return answer;
      };
    },
  });
  return Object.assign(link, { port });
}

export interface Sides {
  readonly clock?: SimulatedClock;
  readonly store?: ObjectStorage;
  readonly fallback?: ObjectStorage;
  readonly backlog?: Backlog;
  /** From the first call on. */
  readonly meddle?: Meddle;
}

/** A node with an external that is reached over a link. Bucket `data` is on both sides. */
export async function startNode(sides: Sides & { readonly isAway?: boolean } = {}) {
  const clock = sides.clock ?? new SimulatedClock();
  const store = sides.store ?? memoryObjectStorage(clock);
  const fallback = sides.fallback ?? memoryObjectStorage(clock);
  const backlog = sides.backlog ?? createMemoryBacklog(clock);
  const log = recordingLog();
  const events: ForwardEvent[] = [];
  const link = linkTo(store);
  link.isAway = sides.isAway ?? false;
  link.meddle = sides.meddle ?? link.meddle;
  for (const one of [store, fallback]) await one.ensureBucket('data');
  const tell = (event: ForwardEvent) => events.push(event);
  const forward = createForwardStorage({ external: link.port, fallback, backlog, clock, random: seededRandom(), log, tell });
  const ended = new AbortController();
  const running = forward.run(ended.signal);
  const stop = async () => {
    ended.abort();
    await running;
  };
  await clock.advance(0);
  return {
    ...{ clock, store, fallback, backlog, log, events, link, forward, stop, port: forward.port },
    conflicts: () => events.filter(({ kind }) => kind === 'conflict').map(({ message }) => message),
    /** It answers again, and as much time passes as a question may take. */
    async comeBack() {
      link.isAway = false;
      await clock.advance(30_000);
    },
    /** It goes away, and a call finds that out. */
    async goAway() {
      link.isAway = true;
      await forward.port.head('data', 'anything').catch(() => undefined);
    },
    /** The process ends and starts again, on what was stored. */
    async restart(isAway = link.isAway) {
      await stop();
      return startNode({ clock, store, fallback, backlog, isAway });
    },
  };
}

export type Node = Awaited<ReturnType<typeof startNode>>;

export const bytesOf = (text: string) => new TextEncoder().encode(text);

export const streamOf = (text: string): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(bytesOf(text));
      controller.close();
    },
  });

export async function textOf(storage: ObjectStorage, key: string, options: { version_id?: string } = {}): Promise<string> {
  return readText((await storage.get('data', key, options)).body);
}

export function readText(body: ObjectBody): Promise<string> {
  return new Response(body as BodyInit).text();
}
