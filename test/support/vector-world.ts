import { VectorError, type VectorIndex, type VectorObject } from '../../shared/ports/vector-index.ts';
import type { ForwardEvent } from '../../shared/reconcile/fall-forward/types.ts';
import { createForwardIndex } from '../../shared/reconcile/fall-forward/vector.ts';
import { createMemoryBacklog } from './memory-backlog.ts';
import { memoryVectorIndex } from './memory-vector-index.ts';
import { recordingLog } from './recording-log.ts';
import { seededRandom } from './seeded-random.ts';
import { SimulatedClock } from './simulated-clock.ts';
import { systemClock } from './system-clock.ts';

/** What happens to one call of the external: nothing of it, all of it or a part of it takes place before the connection is cut. */
export type Cut = 'before' | 'after' | 'part';

export const CLASS = { name: 'Frame', dimensions: 2, properties: [{ name: 'n', type: 'int' as const }] };

/** An external that can be away, and an embedded default beside it. `start` is a node; a second one is the node after a crash. */
export async function vectorWorld({ inExternal = true } = {}) {
  const clock = new SimulatedClock();
  const remote = memoryVectorIndex({ atomic_upsert: false, shared: true });
  const fallback = memoryVectorIndex();
  const backlog = createMemoryBacklog(clock);
  const server = fragile(remote);
  const events: ForwardEvent[] = [];
  const log = recordingLog();
  await fallback.ensureClass(CLASS);
  if (inExternal) await remote.ensureClass(CLASS);

  function start() {
    const life = new AbortController();
    const fallbackOfLife = untilDead(fallback, life.signal);
    const backlogOfLife = untilDead(backlog, life.signal);
    const external = untilDead(server.port, life.signal);
    const forward = createForwardIndex({
      ...{ external, fallback: fallbackOfLife, backlog: backlogOfLife, clock, random: seededRandom(), log },
      tell: (event) => events.push(event),
    });
    const running = forward.run(life.signal);
    return { ...forward, crash: () => life.abort(), running };
  }

  const target = { component: 'vector', identity: remote.backend.identity } as const;
  return {
    ...{ clock, remote, fallback, backlog, server, events, log, start, target },
    async conflicts(): Promise<Set<string>> {
      return new Set((await backlog.conflicts(target, 1000)).map(({ key }) => key));
    },
    /** Lets time pass until nothing waits any more, or nothing moves. Hashes are made beside the event loop, on a busy machine late. */
    async settle(node: ReturnType<typeof start>): Promise<void> {
      for (let round = 0; round < 500 && node.status().presence !== 'present'; round += 1) {
        await clock.advance(10_000);
        if (round >= 50) await systemClock.sleep(5);
      }
    },
  };
}

export type VectorWorld = Awaited<ReturnType<typeof vectorWorld>>;

export const vector = (id: string, n: number): VectorObject => ({ id, vector: [1, n], meta: { n } });

/** Cuts connections, and loses from its searches what such a cut upsert has stored, as Weaviate does, until it is written twice more or deleted. */
function fragile(inner: VectorIndex) {
  const lost = new Map<string, number>();
  const state = { isAway: false, isGoneAfterCut: false, cuts: [] as (Cut | undefined)[], calls: [] as string[], lost };
  const away = () => new VectorError('backend_away', 'the connection was cut');
  const write = (objects: readonly VectorObject[], isCut: boolean) => {
    for (const { id } of objects) {
      if (isCut) lost.set(id, 2);
      const left = (lost.get(id) ?? 0) - (isCut ? 0 : 1);
      if (left > 0) lost.set(id, left);
      else lost.delete(id);
    }
  };
  const call = async (method: string, work: () => Promise<unknown>, part: () => Promise<unknown>) => {
    state.calls.push(method);
    if (state.isAway) throw away();
    const cut = state.cuts.shift();
    if (cut === 'part') await part();
    if (cut === 'after') await work();
    if (cut !== undefined) {
      state.isAway = state.isGoneAfterCut;
      throw away();
    }
    return work();
  };
  const none = async () => undefined;
  const port: VectorIndex = {
    ...inner,
    readClasses: (names) => call('readClasses', () => inner.readClasses(names), none) as ReturnType<VectorIndex['readClasses']>,
    get: (name, id) => call('get', () => inner.get(name, id), none) as ReturnType<VectorIndex['get']>,
    getMany: (name, ids) => call('getMany', () => inner.getMany(name, ids), none) as ReturnType<VectorIndex['getMany']>,
    count: (name) => call('count', () => inner.count(name), none) as ReturnType<VectorIndex['count']>,
    list: (name, options) => call('list', () => inner.list(name, options), none) as ReturnType<VectorIndex['list']>,
    async delete(name, id) {
      // What is stored under the id after that is another object, which goes into the index like any new one.
      const remove = () => inner.delete(name, id).then(() => lost.delete(id));
      await call('delete', remove, none);
    },
    async search(name, query) {
      const hits = await call('search', () => inner.search(name, { ...query, limit: 1000 }), none);
      return (hits as { id: string }[]).filter(({ id }) => !lost.has(id)).slice(0, query.limit ?? 10) as never;
    },
    async findable(name, objects) {
      const ids = (await call('findable', () => inner.findable(name, objects), none)) as string[];
      return ids.filter((id) => !lost.has(id));
    },
    async upsert(name, objects) {
      const half = objects.slice(0, Math.ceil(objects.length / 2));
      const store = async (some: readonly VectorObject[], wasCut: boolean) => {
        await inner.upsert(name, some);
        write(some, wasCut);
      };
      const next = state.isAway ? undefined : state.cuts[0];
      await call(
        'upsert',
        () => store(objects, next === 'after'),
        () => store(half, true),
      );
    },
  };
  return { port, state };
}

/** A port whose calls never come back once the process that made them is dead, and begin nothing any more. */
function untilDead<Port extends object>(port: Port, dead: AbortSignal): Port {
  const never = new Promise<never>(() => undefined);
  return new Proxy(port, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        if (dead.aborted) return never;
        const answer: unknown = await value.apply(target, args);
        return dead.aborted ? never : answer;
      };
    },
  });
}
