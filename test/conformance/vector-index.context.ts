import { expect } from 'vitest';
import type { ClassSpec } from '../../shared/contract/profile.ts';
import type { VectorErrorKind, VectorIndex, VectorObject } from '../../shared/ports/vector-index.ts';

/** What a backend gives to be tested. */
export interface VectorHarness {
  readonly index: VectorIndex;
  /** Closes the index and removes what was made for it. */
  dispose(): Promise<void>;
}

export type VectorSuite = ReturnType<typeof vectorSuite>;

/** What the cases are written with. `harness` answers only once the tests run. */
export function vectorSuite(harness: () => VectorHarness) {
  const suite = {
    get index(): VectorIndex {
      return harness().index;
    },
  };
  const run = crypto.randomUUID().slice(0, 8);
  let made = 0;

  const fresh = () => {
    made += 1;
    return `Suite${run}n${made}`;
  };
  const make = async (spec: Partial<ClassSpec> = {}) => {
    const declared: ClassSpec = { name: fresh(), properties: [], ...spec };
    await suite.index.ensureClass(declared);
    return declared.name;
  };
  const object = (id: string, vector: readonly number[], meta: VectorObject['meta'] = {}): VectorObject => ({ id, vector, meta });
  const stateOf = async (className: string) => (await suite.index.readClasses([className]))[0];
  const idsOf = async (hits: Promise<readonly { id: string }[]>) => (await hits).map(({ id }) => id);
  const refused = async (call: Promise<unknown>, kind: VectorErrorKind, ...words: string[]) => {
    const error = await call.then(
      () => 'resolved',
      (reason: unknown) => reason,
    );
    expect(error).toEqual(expect.objectContaining({ name: 'VectorError', kind }));
    for (const word of words) expect((error as Error).message).toContain(word);
  };
  /** Backends may keep a vector at float32, and scaled: what has to stay is where it points. */
  const expectDirection = (actual: readonly number[], wanted: readonly number[]) => {
    const unit = (vector: readonly number[]) => {
      const length = Math.hypot(...vector);
      return vector.map((component) => component / length);
    };
    expect(actual).toHaveLength(wanted.length);
    const direction = unit(wanted);
    for (const [position, component] of unit(actual).entries()) expect(component).toBeCloseTo(direction[position]!, 5);
  };

  return Object.assign(suite, { expectDirection, fresh, idsOf, make, object, refused, stateOf });
}
