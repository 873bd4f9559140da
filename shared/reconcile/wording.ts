import type { Incompatible } from '../contract/status.ts';
import type { ActionView } from './types.ts';

/** Limits of the contract, in characters. */
const MAX_MESSAGE = 4096;
const MAX_ACTION = 256;
const MAX_SUBJECT = 1024;
/** The most items that a status names. */
const MAX_INCOMPATIBLE = 1000;
/** How many items a sentence names before it says how many more there are. */
const NAMED = 20;

/** An error in its own words. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An error in words, with its kind when it has one. */
export function describeError(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)) || 'failed without a message';
  const kind = errorKind(error);
  return kind === undefined ? message : `${message} (${kind})`;
}

/** The `kind` that the errors of all ports carry. */
export function errorKind(error: unknown): string | undefined {
  return error instanceof Error && 'kind' in error && typeof error.kind === 'string' ? error.kind : undefined;
}

/**
 * Names one action in an event: its kind and what it was about. A Supervisor counts a repeated
 * (idempotency_key, attempt, action) once, so two actions of one run must differ in this.
 */
export function actionName({ kind, subject }: ActionView): string {
  const name = `${kind} ${subject}`;
  return name.length <= MAX_ACTION ? name : `${name.slice(0, MAX_ACTION - 9)} ${fingerprint(name)}`;
}

/** `a; b; and 3 more`, within the limit of a message. */
export function listed(items: readonly string[]): string {
  const rest = items.length - NAMED;
  return clip([...items.slice(0, NAMED), ...(rest > 0 ? [`and ${rest} more`] : [])].join('; '), MAX_MESSAGE - MAX_SUBJECT);
}

export function clipMessage(message: string): string {
  return clip(message, MAX_MESSAGE);
}

/** What was skipped, as a status shows it. */
export function toIncompatible(views: readonly ActionView[]): Incompatible[] {
  return views.slice(0, MAX_INCOMPATIBLE).map(({ subject, detail, safety }) => ({
    subject: clip(subject, MAX_SUBJECT),
    detail: clip(detail ?? safety, MAX_SUBJECT),
  }));
}

/** The sentence about what was skipped; undefined when nothing was. */
export function skippedSentence(views: readonly ActionView[]): string | undefined {
  if (views.length === 0) return undefined;
  return `${views.length} skipped: ${listed(views.map(({ subject, detail }) => `${subject}: ${detail ?? ''}`))}`;
}

function clip(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}

/** FNV-1a, 32 bits, hex: tells two long names apart, no more. */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}
