import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ObjectStorage, StorageError } from '../../shared/ports/object-storage.ts';
import { BUCKET, FOREIGN, hashOf, KEYS, type Key, readValue, type Value, World } from './forward-storage.world.ts';

type Call =
  | { readonly kind: 'put'; readonly key: Key; readonly stream: boolean; readonly if_absent: boolean }
  | { readonly kind: 'delete'; readonly key: Key }
  | { readonly kind: 'get'; readonly key: Key }
  | { readonly kind: 'list' };

type Step =
  | { readonly kind: 'together'; readonly calls: readonly Call[] }
  | { readonly kind: 'foreign'; readonly key: Key }
  | { readonly kind: 'away'; readonly away: boolean }
  | { readonly kind: 'pass'; readonly ms: number };

const key = fc.constantFrom(...KEYS);
const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      key,
      stream: fc.boolean(),
      if_absent: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('get' as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('list' as const) }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('together' as const), calls: fc.array(call, { minLength: 1, maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('foreign' as const), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('away' as const), away: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(0, 200, 2000, 15_000) }) },
);

/** What the caller knows of a key: what it may hold, as far as nobody else wrote to it. */
interface Known {
  values: Set<Value>;
  /** Somebody else wrote since: the external may hold that as well. */
  foreign: Set<Value>;
}

/** A run of the world, judged at each answer. */
class Run {
  readonly #world: World;
  readonly #known = new Map<Key, Known>(KEYS.map((one) => [one, { values: new Set([undefined]), foreign: new Set() }]));
  readonly #ever = new Map<Key, Set<Value>>(KEYS.map((one) => [one, new Set([undefined])]));
  #texts = 0;

  constructor(world: World) {
    this.#world = world;
  }

  async start(held: readonly Key[]): Promise<void> {
    const texts = new Map(held.map((one) => [one, this.#text('held')]));
    for (const [one, text] of texts) {
      this.#of(one).values = new Set([text]);
      this.#ever.get(one)?.add(text);
    }
    await this.#world.start(texts);
  }

  async take(step: Step): Promise<void> {
    const { clock, store } = this.#world;
    switch (step.kind) {
      case 'away':
        this.#world.isAway = step.away;
        return;
      case 'pass':
        await clock.advance(step.ms);
        return this.#world.revive();
      case 'foreign': {
        const text = this.#text(FOREIGN);
        this.#of(step.key).foreign.add(text);
        this.#ever.get(step.key)?.add(text);
        await store.put(BUCKET, step.key, new TextEncoder().encode(text));
        return;
      }
      case 'together':
        return this.#together(step.calls);
      default:
        return step satisfies never;
    }
  }

  async #together(calls: readonly Call[]): Promise<void> {
    const texts = calls.map(() => this.#text('own'));
    const effects = calls.map((one, index): { key: Key; value: Value } | undefined =>
      one.kind === 'put' ? { key: one.key, value: texts[index] } : one.kind === 'delete' ? { key: one.key, value: undefined } : undefined,
    );
    for (const effect of effects) if (effect !== undefined) this.#ever.get(effect.key)?.add(effect.value);
    const may = new Map<Key, Set<Value>>();
    for (const one of KEYS) {
      const beside = effects.flatMap((effect) => (effect?.key === one ? [effect.value] : []));
      const { values, foreign } = this.#of(one);
      // Who reads a conflict gets what the external holds.
      const any = (await this.#isConflict(one)) ? (this.#ever.get(one) ?? []) : [];
      may.set(one, new Set([...values, ...foreign, ...beside, ...any]));
    }
    this.#world.conflicted.clear();
    for (const text of texts) this.#world.underWay.add(text);
    for (const one of calls) if (one.kind === 'delete') this.#world.deleting.add(one.key);
    const outcomes = await this.#world.together(calls.map((one, index) => (port: ObjectStorage) => act(port, one, texts[index] ?? '')));
    this.#world.underWay.clear();
    this.#world.deleting.clear();
    for (const one of KEYS) {
      const mine = effects.flatMap((effect, index) => (effect?.key === one ? [{ value: effect.value, outcome: outcomes[index] }] : []));
      this.#learn(one, mine);
      if (this.#world.conflicted.has(one) || (await this.#isConflict(one)))
        may.set(one, new Set([...(may.get(one) ?? []), ...(this.#ever.get(one) ?? [])]));
    }
    for (const [index, one] of calls.entries()) this.#judge(one, outcomes[index], may);
  }

  #learn(one: Key, mine: readonly { value: Value; outcome: PromiseSettledResult<unknown> | undefined }[]): void {
    const known = this.#of(one);
    const isDone = mine.some(({ outcome }) => outcome?.status === 'fulfilled');
    const possible = mine.filter(({ outcome }) => !isRefused(outcome)).map(({ value }) => value);
    if (isDone) known.foreign.clear();
    known.values = new Set([...(isDone ? [] : known.values), ...possible]);
  }

  #judge(one: Call, outcome: PromiseSettledResult<unknown> | undefined, may: ReadonlyMap<Key, Set<Value>>): void {
    if (outcome === undefined) return;
    if (outcome.status === 'rejected') {
      expect(outcome.reason).toBeInstanceOf(StorageError);
      const { kind } = outcome.reason as StorageError;
      expect(['backend_away', 'failed', ...(one.kind === 'put' && one.if_absent ? ['already_exists'] : [])]).toContain(kind);
      if (kind === 'already_exists' && one.kind === 'put')
        expect([...(may.get(one.key) ?? [])].some((value) => value !== undefined)).toBe(true);
      return;
    }
    if (one.kind === 'get') expect([...(may.get(one.key) ?? [])]).toContain(outcome.value);
    if (one.kind === 'put' && one.if_absent) expect([...(may.get(one.key) ?? [])]).toContain(undefined);
    if (one.kind !== 'list') return;
    const listed = new Set(outcome.value as Key[]);
    for (const each of KEYS) {
      const values = [...(may.get(each) ?? [])];
      if (!values.includes(undefined)) expect(listed).toContain(each);
      if (values.every((value) => value === undefined)) expect(listed).not.toContain(each);
    }
  }

  /** Everything acknowledged is in the external, or a conflict that is reported, and its bytes are kept. */
  async finish(): Promise<void> {
    await this.#world.heal();
    expect(this.#world.replaced).toEqual([]);
    const { node, store, fallback } = this.#world;
    expect(node.forward.status()).toMatchObject({ presence: 'present', waiting: 0 });
    for (const one of KEYS) {
      const { values, foreign } = this.#of(one);
      const there = await readValue(store, one);
      expect(await readValue(node.forward.port, one)).toBe(there);
      if (values.has(there)) continue;
      const isConflict = await this.#isConflict(one);
      if (foreign.has(there) && !isConflict) continue;
      expect(isConflict, `${one} holds ${there}, may hold ${[...values]}`).toBe(true);
      const kept = await readValue(fallback, one);
      expect([...values]).toContain(kept);
    }
    await node.stop();
  }

  async #isConflict(one: Key): Promise<boolean> {
    const { values } = this.#of(one);
    const hashes = new Set([...values].flatMap((value) => (value === undefined ? [] : [hashOf(value)])));
    const conflicts = await this.#world.conflictHashes(one);
    return conflicts.some(({ hash, deleted }) => (deleted === true ? values.has(undefined) : hashes.has(hash)));
  }

  #of(one: Key): Known {
    return this.#known.get(one) ?? expect.fail();
  }

  #text(who: string): string {
    this.#texts += 1;
    return `${who} ${this.#texts}`;
  }
}

async function act(port: ObjectStorage, one: Call, text: string): Promise<unknown> {
  switch (one.kind) {
    case 'put': {
      const bytes = new TextEncoder().encode(text);
      const body = one.stream ? new Blob([bytes]).stream() : bytes;
      return port.put(BUCKET, one.key, body, one.if_absent ? { if_absent: true } : {});
    }
    case 'delete':
      return port.delete(BUCKET, one.key);
    case 'get':
      return readValue(port, one.key);
    case 'list':
      return (await port.list(BUCKET)).objects.map(({ key: listed }) => listed);
    default:
      return one satisfies never;
  }
}

/** An answer by which nothing was stored. After any other error it may have been. */
function isRefused(outcome: PromiseSettledResult<unknown> | undefined): boolean {
  return outcome?.status === 'rejected' && (outcome.reason as StorageError).kind === 'already_exists';
}

test('whatever fails and whenever the node dies: what was acknowledged is in the external or a reported conflict, and reads do not lie', {
  timeout: 1_200_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.subarray([...KEYS]),
      fc.array(step, { minLength: 1, maxLength: 14, size: 'max' }),
      fc.array(fc.nat(39), { maxLength: 200, size: 'max' }),
      async (held, steps, fates) => {
        const world = new World(fates);
        const run = new Run(world);
        await run.start(held);
        for (const one of steps) await run.take(one);
        await run.finish();
      },
    ),
    { numRuns: Number(process.env.FORWARD_RUNS ?? 250) },
  );
});
