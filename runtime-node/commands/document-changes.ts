import type { Change, DocumentKind } from '../../shared/contract/document.ts';
import { formatValue } from './format.ts';
import { colorsFor, type Io } from './io.ts';

type Body = Record<string, unknown>;

/** Changes for a person, one line each, with the names of list items instead of their numbers. */
export function formatChanges(io: Io, kind: DocumentKind, changes: readonly Change[], before: Body, after: Body): string[] {
  const colors = colorsFor(io);
  const lines = changes.map((change) => {
    if (!('before' in change)) return colors.green(`+ ${namePath(change.pointer, after)}  ${formatValue(change.after)}`);
    if (!('after' in change)) return colors.red(`- ${namePath(change.pointer, before)}  ${formatValue(change.before)}`);
    return colors.yellow(`~ ${namePath(change.pointer, after)}  ${formatValue(change.before)} -> ${formatValue(change.after)}`);
  });
  const removes = changes.some((change) => !('after' in change));
  return removes ? [...lines, '', REMOVAL[kind]] : lines;
}

const REMOVAL: Record<DocumentKind, string> = {
  plan: 'Services that the plan no longer has are stopped where they run.',
  profile:
    'Nothing is deleted by this: what the profile no longer names stays as it is. `bootplane prune` shows what of it could be removed.',
};

/** `services/api/version` for `/services/0/version`: what a person calls it. */
export function namePath(pointer: string, document: unknown): string {
  const names: string[] = [];
  let value = document;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    const listed = Array.isArray(value);
    value = isFields(value) ? value[key] : undefined;
    names.push((listed ? labelOf(value) : undefined) ?? key);
  }
  return names.length === 0 ? '(the whole document)' : names.join('/');
}

function labelOf(item: unknown): string | undefined {
  if (!isFields(item)) return undefined;
  const label = item.name ?? item.id;
  return typeof label === 'string' ? label : undefined;
}

/** Lists count: their items are found under their numbers. */
function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
