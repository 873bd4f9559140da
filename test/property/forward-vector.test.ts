import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VectorError } from '../../shared/ports/vector-index.ts';
import { type Cut, type VectorWorld, vector, vectorWorld } from '../support/vector-world.ts';

type Command =
  | { readonly kind: 'upsert'; readonly ids: readonly string[] }
  | { readonly kind: 'delete' | 'get' | 'foreign'; readonly id: string }
  | { readonly kind: 'search' | 'away' | 'back' | 'crash' }
  | { readonly kind: 'cut'; readonly cuts: readonly (Cut | undefined)[] }
  | { readonly kind: 'wait'; readonly ms: number };

const id = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const cut = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 3, arbitrary: fc.constantFrom<Cut>('before', 'after', 'part') },
);
const just = (kind: 'search' | 'away' | 'back' | 'crash') => fc.constant<Command>({ kind });
const upsert = fc.record({ kind: fc.constant('upsert' as const), ids: fc.array(id, { minLength: 1, maxLength: 4 }) });
const of = (kind: 'delete' | 'get' | 'foreign') => id.map((one): Command => ({ kind, id: one }));
const cuts = fc.record({ kind: fc.constant('cut' as const), cuts: fc.array(cut, { minLength: 1, maxLength: 8 }) });
const wait = fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 5000 }) });
const anything = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: upsert },
    { weight: 2, arbitrary: of('delete') },
    { weight: 3, arbitrary: of('get') },
    { weight: 1, arbitrary: of('foreign') },
    { weight: 1, arbitrary: just('search') },
    { weight: 2, arbitrary: just('away') },
    { weight: 2, arbitrary: just('back') },
    { weight: 1, arbitrary: just('crash') },
    { weight: 2, arbitrary: cuts },
    { weight: 3, arbitrary: wait },
  ),
  { maxLength: 40 },
);

/** What an id may hold now, as far as its callers can know: numbers, or nothing at all. More than one after a call that failed. */
type Model = Map<string, Set<number | undefined>>;

class Run {
  readonly world: VectorWorld;
  readonly model: Model = new Map(['a', 'b', 'c', 'd', 'e'].map((one) => [one, new Set([undefined])]));
  node: ReturnType<VectorWorld['start']>;
  #value = 0;

  constructor(world: VectorWorld) {
    this.world = world;
    this.node = world.start();
  }

  async do(command: Command): Promise<void> {
    const { state } = this.world.server;
    if (command.kind === 'away' || command.kind === 'back') state.isAway = command.kind === 'away';
    else if (command.kind === 'cut') state.cuts = [...command.cuts];
    else if (command.kind === 'wait') await this.world.clock.advance(command.ms);
    else if (command.kind === 'upsert') await this.#upsert(command.ids);
    else if (command.kind === 'foreign') await this.#foreign(command.id);
    else if (command.kind === 'delete') await this.#delete(command.id);
    else if (command.kind === 'get') await this.#get(command.id);
    else if (command.kind === 'search') await this.search();
    else this.#crash();
  }

  #crash(): void {
    this.node.crash();
    this.node = this.world.start();
  }

  /** An upsert never fails for an external that is away. */
  async #upsert(ids: readonly string[]): Promise<void> {
    const objects = ids.map((one) => vector(one, this.#next()));
    await this.#answer(this.node.port.upsert('Frame', objects));
    for (const { id: one, meta } of objects) this.model.set(one, new Set([Number(meta.n)]));
  }

  async #foreign(one: string): Promise<void> {
    const object = vector(one, this.#next());
    await this.world.remote.upsert('Frame', [object]);
    this.model.get(one)?.add(Number(object.meta.n));
  }

  async #delete(one: string): Promise<void> {
    const isDone = await this.#unlessAway(this.node.port.delete('Frame', one).then(() => true));
    if (isDone) this.model.set(one, new Set([undefined]));
    else this.model.get(one)?.add(undefined);
  }

  async #get(one: string): Promise<void> {
    const got = await this.#unlessAway(this.node.port.get('Frame', one).then((object) => ({ n: object?.meta.n })));
    if (got === undefined || this.model.get(one)?.has(got.n as number | undefined)) return;
    expect(await this.world.conflicts(), `${one} was read as ${got.n}`).toContain(one);
  }

  async search(): Promise<void> {
    const hits = await this.#unlessAway(this.node.port.search('Frame', { vector: [1, 1], limit: 1000 }));
    if (hits === undefined) return;
    const found = new Map(hits.map((hit) => [hit.id, Number(hit.meta.n)]));
    expect(found.size).toBe(hits.length);
    const conflicts = await this.world.conflicts();
    for (const [one, values] of this.model) {
      // What somebody else's cut upsert left unfound is none of ours.
      const isFound = values.has(found.get(one)) || conflicts.has(one);
      expect(isFound, `${one} was found as ${found.get(one)} and not ${[...values]}`).toBe(true);
    }
  }

  async end(): Promise<void> {
    const { server, remote, backlog, target } = this.world;
    Object.assign(server.state, { isAway: false, cuts: [] });
    await this.world.settle(this.node);
    expect(this.node.status()).toMatchObject({ presence: 'present', waiting: 0 });
    expect(await backlog.next(target, 10)).toEqual([]);
    const conflicts = await this.world.conflicts();
    for (const [one, values] of this.model) {
      const is = (await remote.get('Frame', one))?.meta.n as number | undefined;
      expect(values.has(is) || conflicts.has(one), `${one} is ${is} and not ${[...values]}`).toBe(true);
    }
    await this.search();
    this.node.crash();
  }

  async #unlessAway<T>(call: Promise<T>): Promise<T | undefined> {
    return this.#answer(
      call.catch((error: unknown) => {
        if (error instanceof VectorError && error.kind === 'backend_away') return undefined;
        throw error;
      }),
    );
  }

  /** The answer, which may take some time, also of the clock on the wall: hashes are made beside the event loop. */
  async #answer<T>(call: Promise<T>): Promise<T> {
    let isThere = false;
    const answer = call.finally(() => {
      isThere = true;
    });
    answer.catch(() => undefined);
    while (!isThere) await this.world.clock.advance(100);
    return answer;
  }

  #next(): number {
    this.#value += 1;
    return this.#value;
  }
}

test('what an upsert acknowledged is in the external in the end, or a conflict that was told, and no read lies', async () => {
  await fc.assert(
    fc.asyncProperty(anything, async (commands) => {
      const run = new Run(await vectorWorld());
      for (const command of commands) await run.do(command);
      await run.end();
    }),
    { numRuns: Number(process.env.FORWARD_RUNS ?? 300) },
  );
});

test('objects that nobody else wrote, first written while the external is away, never are a conflict, wherever connections are cut', async () => {
  const commands = fc.array(fc.oneof(upsert, upsert, of('delete'), of('get'), just('search'), cuts, wait), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(commands, commands, async (before, after) => {
      const world = await vectorWorld();
      world.server.state.isAway = true;
      const run = new Run(world);
      await world.clock.advance(1);
      for (const command of before) await run.do(command);
      world.server.state.isAway = false;
      // Where an upsert goes straight to the external and is cut off, what was there before is in its way: that is a conflict.
      const isSafe = async (ids: readonly string[]) => {
        const things = [...new Set(ids)].map((key) => ({ place: 'Frame', key }));
        return world.server.state.cuts.length === 0 && (await world.backlog.waiting(world.target, things)).length === things.length;
      };
      for (const command of after) if (command.kind !== 'upsert' || (await isSafe(command.ids))) await run.do(command);
      await run.end();
      expect(await world.conflicts()).toEqual(new Set());
    }),
    { numRuns: Number(process.env.FORWARD_RUNS ?? 200) },
  );
});
