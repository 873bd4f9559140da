import type { LifecycleRule } from '../../../shared/contract/profile.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { child, escapeXml, parseXml, textOf, type XmlElement } from './xml.ts';

/** One rule of a bucket as the store tells it. */
export interface KeptRule {
  readonly id: string | undefined;
  /** Its exact text. */
  readonly raw: string;
  /** Where the text begins in the document. */
  readonly start: number;
  /** What it says in the words of a profile; absent where it says more than those can (other actions, tags, sizes, dates). */
  readonly plain?: LifecycleRule;
  /** Names of what it has beyond those words. */
  readonly beyond: readonly string[];
  readonly enabled: boolean;
  /** Names its prefix outside of a filter, as rules did before 2016. */
  readonly old_style: boolean;
}

export interface LifecycleDocument {
  readonly text: string;
  readonly rules: readonly KeptRule[];
}

/** A bucket without rules has no document. */
export const NO_RULES: LifecycleDocument = { text: '', rules: [] };

export function readLifecycle(text: string): LifecycleDocument {
  const rules = parseXml(text).children.filter(({ name }) => name === 'Rule');
  return { text, rules: rules.map(readRule) };
}

/** The rules that are in force and that a profile could have asked for. */
export function plainRules({ rules }: LifecycleDocument): LifecycleRule[] {
  return rules.flatMap(({ plain, enabled }) => (plain !== undefined && enabled ? [plain] : []));
}

/**
 * The document with these rules in it, or undefined when they are there already. Only the text of the rules that change is
 * touched: whatever else the document holds goes back to the store as it came, understood or not.
 */
export function mergeLifecycle(document: LifecycleDocument, wanted: readonly LifecycleRule[], bucket: string): string | undefined {
  const changed = [...new Map(wanted.map((rule) => [rule.id, rule])).values()].filter((rule) => !isThere(document, rule));
  if (changed.length === 0) return undefined;
  const found = new Map(document.rules.flatMap((rule) => (rule.id === undefined ? [] : [[rule.id, rule] as const])));
  const old = document.rules.length > 0 && document.rules.every(({ old_style }) => old_style);
  const edits: { start: number; end: number; text: string }[] = [];
  const added: string[] = [];
  for (const rule of changed) {
    const kept = found.get(rule.id);
    if (kept === undefined) added.push(writeRule(rule, old));
    else {
      refuseBeyond(kept, bucket);
      edits.push({ start: kept.start, end: kept.start + kept.raw.length, text: writeRule(rule, old) });
    }
  }
  if (document.rules.length === 0) return `<LifecycleConfiguration xmlns="${NAMESPACE}">${added.join('')}</LifecycleConfiguration>`;
  const end = Math.max(...document.rules.map(({ start, raw }) => start + raw.length));
  return splice(document.text, [...edits, { start: end, end, text: added.join('') }]);
}

/** The document without the rules of these ids, `''` where none is left, or undefined when it has none of them. The rest stays as it came. */
export function withoutRules(document: LifecycleDocument, ids: ReadonlySet<string>, bucket: string): string | undefined {
  const leaving = document.rules.filter(({ id }) => id !== undefined && ids.has(id));
  if (leaving.length === 0) return undefined;
  for (const rule of leaving) refuseBeyond(rule, bucket);
  if (leaving.length === document.rules.length) return '';
  return splice(
    document.text,
    leaving.map(({ start, raw }) => ({ start, end: start + raw.length, text: '' })),
  );
}

/** True when the rule is in force as it is wanted. */
export function isThere({ rules }: LifecycleDocument, { id, prefix, expire_days }: LifecycleRule): boolean {
  return rules.some(
    ({ plain, enabled }) =>
      enabled && plain !== undefined && plain.id === id && plain.prefix === prefix && plain.expire_days === expire_days,
  );
}

/** Texts of the rules other than those of these ids. */
export function otherRules({ rules }: LifecycleDocument, ids: ReadonlySet<string>): string[] {
  return rules.filter(({ id }) => id === undefined || !ids.has(id)).map(({ raw }) => raw);
}

const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

function readRule(element: XmlElement): KeptRule {
  const id = textOf(element, 'ID');
  const filter = child(element, 'Filter');
  const days = Number(textOf(child(element, 'Expiration') ?? element, 'Days')?.trim() ?? Number.NaN);
  const beyond = beyondWords(element);
  const prefix = prefixOf(filter) ?? textOf(element, 'Prefix') ?? '';
  const plain = id !== undefined && beyond.length === 0 && Number.isInteger(days) ? { plain: { id, prefix, expire_days: days } } : {};
  const place = { id, raw: element.raw, start: element.start, old_style: filter === undefined && child(element, 'Prefix') !== undefined };
  return { ...place, ...plain, beyond, enabled: textOf(element, 'Status')?.trim() === 'Enabled' };
}

function prefixOf(filter: XmlElement | undefined): string | undefined {
  if (filter === undefined) return undefined;
  return textOf(filter, 'Prefix') ?? textOf(child(filter, 'And') ?? filter, 'Prefix');
}

/** Elements whose meaning a `LifecycleRule` does not have. Empty ones and a `false` mean nothing. */
function beyondWords(rule: XmlElement): string[] {
  const strange = (element: XmlElement | undefined, known: readonly string[]) =>
    (element?.children ?? []).filter(({ name, text, children }) => {
      const empty = children.length === 0 && (text.trim() === '' || text.trim() === 'false');
      return !known.includes(name) && !empty;
    });
  const filter = child(rule, 'Filter');
  return [
    ...strange(rule, ['ID', 'Status', 'Prefix', 'Filter', 'Expiration']),
    ...strange(filter, ['Prefix', 'And']),
    ...strange(filter && child(filter, 'And'), ['Prefix']),
    ...strange(child(rule, 'Expiration'), ['Days']),
  ].map(({ name }) => name);
}

/** Who made a rule that does more meant it: to write ours over it, or to take it away, would end what it does. */
function refuseBeyond({ id, beyond }: KeptRule, bucket: string): void {
  if (beyond.length === 0) return;
  throw new StorageError(
    'failed',
    `bucket ${bucket} has a lifecycle rule ${id} that says more than a profile can (${beyond.join(', ')}): it was left as it is. Give a rule in the profile another id, or take that one away by hand`,
  );
}

function writeRule({ id, prefix, expire_days }: LifecycleRule, old: boolean): string {
  const where = `<Prefix>${escapeXml(prefix)}</Prefix>`;
  const filter = old ? where : `<Filter>${where}</Filter>`;
  return `<Rule><ID>${escapeXml(id)}</ID>${filter}<Status>Enabled</Status><Expiration><Days>${expire_days}</Days></Expiration></Rule>`;
}

function splice(text: string, edits: readonly { start: number; end: number; text: string }[]): string {
  let result = '';
  let at = 0;
  for (const edit of [...edits].sort((one, other) => one.start - other.start)) {
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}
