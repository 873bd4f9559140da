import { ApiError, UnreachableError } from '../../shared/client.ts';
import type { ProblemCode } from '../../shared/contract/problem.ts';
import { ConfigError } from '../config.ts';
import { isNotSent, LOOK_FIRST } from '../forward-errors.ts';
import { codeOf } from '../thrown.ts';
import { CommandError } from './errors.ts';
import { detailOf } from './problem-words.ts';

/** What to do about an answer of a Supervisor. Codes that explain themselves have none. */
const HINTS: Partial<Record<ProblemCode, string>> = {
  unauthenticated:
    'Use one of that fleet that still holds: BOOTPLANE_API_KEY (its fleet key, an issued key or a JWT), else fleet.key of --data-dir. BOOTPLANE_ADMIN_KEY is the admin key of the cloud.',
  forbidden: 'Use a credential with the scope operator, such as the fleet key.',
  not_found: 'That address does not know this call: it may be a cloud, or a node of another version.',
  no_leader: 'Nobody leads the site at the moment. `bootplane why` on a node shows what it found.',
  no_plan: 'Publish one with `bootplane plan publish FILE`.',
  no_profile: 'Publish one with `bootplane profile publish FILE`.',
  generation_moved: 'Somebody published in the meantime. Look at it with `history` and `diff`, then publish again.',
  would_empty: 'If that is what you want, say so with --allow-empty.',
  no_such_conflict: '`bootplane backlog` shows those that there are.',
  conflict_changed: 'Nothing was done. Look at it again with `bootplane backlog`.',
  conflict_stays: 'Nothing was done: both sides are as before. `--keep external` gives ours up.',
  prune_expired: 'See what would go with `bootplane prune`, and approve the hash that it shows.',
  prune_changed: 'See what would go now with `bootplane prune`, and approve the hash that it shows.',
  prune_refused: 'Nothing was removed. When that is settled, look at it again with `bootplane prune`.',
  no_such_generation: '`history` lists the generations that are kept.',
  unavailable: 'Try again in a moment; `bootplane doctor` looks for the cause.',
};

/** Turns whatever a command threw into a failure with its exit code; undefined for a fault of bootplane itself. */
export function toCommandError(error: unknown): CommandError | undefined {
  if (error instanceof CommandError) return error;
  if (error instanceof ConfigError || isOfCertificates(error)) return new CommandError('config', error.message);
  if (error instanceof UnreachableError) return fromSilence(error);
  if (error instanceof ApiError) return fromProblem(error);
  return fromPart(error);
}

function fromProblem(error: ApiError): CommandError {
  const { problem } = error;
  const { errors = [] } = problem;
  // A single fault is mostly the detail itself.
  const detail = detailOf(problem);
  const isTold = errors.length === 1 && errors.every((one) => problem.detail.includes(one.detail));
  const pointers = isTold ? [] : errors.map(({ pointer, detail }) => `  ${pointer === '' ? '/' : pointer} ${detail}`);
  const hint = mayBeDone(error) ? DOCTOR : HINTS[problem.code];
  return new CommandError('refused', [`${detail} (${problem.code})`, ...pointers].join('\n'), hint);
}

function fromSilence(error: UnreachableError): CommandError {
  const kind = error.kind === 'not_understood' ? 'failed' : 'unreachable';
  const isUnknown = mayBeDone(error);
  const message = isUnknown ? `${error.message}; the call may have been done or not: ${LOOK_FIRST}` : error.message;
  if (kind === 'failed') return new CommandError(kind, message, 'Is it a node or cloud of bootplane, of this version?');
  if (isUnknown) return new CommandError(kind, message, DOCTOR);
  // Who does not answer may wait in vain itself, for its leader or the cloud.
  const isThere = error.kind === 'no_answer' && !isNotSent(error);
  return new CommandError(kind, message, isThere ? DOCTOR : `Is the node up? ${DOCTOR}`);
}

const DOCTOR = '`bootplane doctor` looks for the cause.';

/** True where a call that changes something may have been done, though no answer says so. */
export function mayBeDone(error: unknown): boolean {
  if (error instanceof UnreachableError) return error.isOfChange && !isNotSent(error);
  return error instanceof ApiError && error.problem.code === 'unavailable' && error.problem.detail.includes(LOOK_FIRST);
}

/** The settings name files that can't be used. By its name, since its module brings TLS. */
function isOfCertificates(error: unknown): error is Error {
  return error instanceof Error && error.name === 'TlsError';
}

const FAULTS = ['Error', 'TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'AggregateError'];

/** An error that a part of bootplane made (the data directory is locked), or the machine (the port is taken), says all in its message. */
function fromPart(error: unknown): CommandError | undefined {
  if (!(error instanceof Error)) return undefined;
  const told = !FAULTS.includes(error.name) || codeOf(error).startsWith('E');
  return told ? new CommandError('failed', error.message, isFull(error) ? FULL : undefined, { cause: error }) : undefined;
}

const FULL = 'Free space on the disk of the data directory (`bootplane doctor` shows it), or give another one with --data-dir.';

/** The ports call it `full`; the system has two words for it. */
function isFull(error: Error): boolean {
  return ('kind' in error && error.kind === 'full') || ['ENOSPC', 'EDQUOT'].includes(codeOf(error));
}
