import { canonicalJson } from '../contract/canonical.ts';
import type { Change } from '../contract/document.ts';
import { toPointer } from '../contract/pointer.ts';

type Path = readonly (string | number)[];
/** Where a value stands in each of the two documents; the two differ below a list whose items moved. */
interface Place {
  readonly before: Path;
  readonly after: Path;
}
type Fields = Readonly<Record<string, unknown>>;

/**
 * The differences between two JSON documents; empty exactly when both say the same. Items of lists
 * are matched by their `name`, else by their `id`, else as a whole, so that an insert at the front is
 * one change. What was removed is pointed to where it stood in `before`, all else where it stands in
 * `after`. Items in another order are one change of the list, with the names (or items) as values.
 */
export function diffDocuments(before: unknown, after: unknown): Change[] {
  return diffValues(before, after, { before: [], after: [] });
}

function diffValues(before: unknown, after: unknown, place: Place): Change[] {
  if (isFields(before) && isFields(after)) return diffFields(before, after, place);
  if (Array.isArray(before) && Array.isArray(after)) return diffLists(before, after, place);
  return canonicalJson(before) === canonicalJson(after) ? [] : [{ pointer: toPointer(place.after), before, after }];
}

function diffFields(before: Fields, after: Fields, place: Place): Change[] {
  const removed = Object.keys(before)
    .filter((key) => !Object.hasOwn(after, key))
    .map((key) => ({ pointer: toPointer([...place.before, key]), before: before[key] }));
  const others = Object.keys(after).flatMap((key) =>
    Object.hasOwn(before, key)
      ? diffValues(before[key], after[key], descend(place, key, key))
      : [{ pointer: toPointer([...place.after, key]), after: after[key] }],
  );
  return [...removed, ...others];
}

function diffLists(before: readonly unknown[], after: readonly unknown[], place: Place): Change[] {
  const labels = labelsOf(before, after);
  if (labels === undefined) {
    return canonicalJson(before) === canonicalJson(after) ? [] : [{ pointer: toPointer(place.after), before, after }];
  }
  const oldIndexes = new Map(labels.before.map((label, index) => [label, index]));
  const kept = new Set(labels.after.filter((label) => oldIndexes.has(label)));
  const removed = labels.before.flatMap((label, index) =>
    kept.has(label) ? [] : [{ pointer: toPointer([...place.before, index]), before: before[index] }],
  );
  const others = labels.after.flatMap((label, index) => {
    const oldIndex = oldIndexes.get(label);
    if (oldIndex === undefined) return [{ pointer: toPointer([...place.after, index]), after: after[index] }];
    return diffValues(before[oldIndex], after[index], descend(place, oldIndex, index));
  });
  return [...removed, ...others, ...diffOrder(labels, kept, place)];
}

function diffOrder(labels: Labels, kept: ReadonlySet<string>, place: Place): Change[] {
  const before = labels.before.filter((label) => kept.has(label));
  const after = labels.after.filter((label) => kept.has(label));
  if (before.every((label, index) => label === after[index])) return [];
  return [{ pointer: toPointer(place.after), before: labels.before, after: labels.after }];
}

interface Labels {
  readonly before: string[];
  readonly after: string[];
}

/** What the items of two lists are told apart by; undefined for lists that are one value, as a command line is. */
function labelsOf(before: readonly unknown[], after: readonly unknown[]): Labels | undefined {
  for (const label of [(item: Fields) => item.name, (item: Fields) => item.id, (item: Fields) => canonicalJson(item)]) {
    const labels = { before: labelAll(before, label), after: labelAll(after, label) };
    if (labels.before !== undefined && labels.after !== undefined) return { before: labels.before, after: labels.after };
  }
  return undefined;
}

/** Undefined unless every item is an object that has a label of its own. */
function labelAll(items: readonly unknown[], label: (item: Fields) => unknown): string[] | undefined {
  const labels = items.map((item) => (isFields(item) ? label(item) : undefined)).filter((one) => typeof one === 'string');
  return new Set(labels).size === items.length ? labels : undefined;
}

/** JSON Pointers to the keys of `input` that a schema dropped from `parsed`. */
export function unknownKeys(input: unknown, parsed: unknown): string[] {
  return droppedKeys(input, parsed, []).map(toPointer);
}

function droppedKeys(input: unknown, parsed: unknown, path: Path): Path[] {
  if (Array.isArray(input) && Array.isArray(parsed)) {
    return input.flatMap((item, index) => droppedKeys(item, parsed[index], [...path, index]));
  }
  if (!isFields(input) || !isFields(parsed)) return [];
  return Object.keys(input).flatMap((key) =>
    Object.hasOwn(parsed, key) ? droppedKeys(input[key], parsed[key], [...path, key]) : [[...path, key]],
  );
}

function descend(place: Place, before: string | number, after: string | number): Place {
  return { before: [...place.before, before], after: [...place.after, after] };
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
