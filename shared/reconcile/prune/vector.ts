import type { VectorProfile } from '../../contract/profile.ts';
import type { PruneEvidence } from '../../contract/prune.ts';
import type { ClassState, VectorIndex } from '../../ports/vector-index.ts';
import { classSubject } from '../vector-actions.ts';
import { foldClassName } from '../vector-diff.ts';
import { mapFew } from './each.ts';
import { type Findings, type Known, NO_LONGER_NAMED, type Removal, refuseChanged } from './types.ts';

/** The vector index: classes. A property can't be taken out of a class, so it stays. Reads only. */
export async function findInVector(index: VectorIndex, desired: VectorProfile, { made_by, owned, former }: Known): Promise<Findings> {
  const named = new Set(desired.classes.map(({ name }) => foldClassName(name)));
  const made = new Set(owned.flatMap((one) => (one.kind === 'class' ? [foldClassName(one.name)] : [])));
  const marked = index.capabilities.records_maker ? former.classes.map(foldClassName) : [];
  const names = [...new Set([...made, ...marked])].filter((name) => !named.has(name));
  // In the order of the names: an index lists its classes as they come, and the same ones must have the same hash each time.
  const found = new Map((names.length === 0 ? [] : await index.readClasses(names)).map((state) => [foldClassName(state.name), state]));
  const states = names.flatMap((name) => found.get(name) ?? []);
  const isOurs = (state: ClassState) =>
    index.capabilities.records_maker ? state.made_by === made_by : made.has(foldClassName(state.name));
  const foreign = states.filter((state) => !isOurs(state) && made.has(foldClassName(state.name)));
  const gone = new Set([...names.filter((name) => made.has(name) && !found.has(name)), ...foreign.map(({ name }) => foldClassName(name))]);
  return {
    removals: await mapFew(states.filter(isOurs), (state) => removeClass(index, state)),
    kept: foreign.map(({ name }) => ({
      subject: classSubject(name),
      detail: 'it was removed since bootplane made it, and somebody else made it anew',
    })),
    gone: owned.filter((one) => one.kind === 'class' && gone.has(foldClassName(one.name))),
  };
}

async function removeClass(index: VectorIndex, { made_by, ...before }: ClassState): Promise<Removal> {
  const { name } = before;
  const { records_maker, removes_if_empty } = index.capabilities;
  const objects = await index.count(name);
  const empty = objects === 0;
  const evidence: PruneEvidence = { empty, holds: { objects }, ...(empty && !removes_if_empty ? { unguarded: true } : {}) };
  return {
    view: { kind: 'remove-class', safety: 'destroy', subject: classSubject(name), before, detail: NO_LONGER_NAMED, evidence },
    needs: [],
    async execute() {
      // Objects that are stored add properties, so that only who made it tells whether it is another one.
      const [is] = records_maker ? await index.readClasses([name]) : [];
      refuseChanged({ made_by }, is && { made_by: is.made_by });
      await index.removeClass(name, { if_empty: empty });
    },
    forget: { kind: 'class', name },
  };
}
