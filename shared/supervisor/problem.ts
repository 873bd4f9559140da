import { PROBLEM_JSON, PROBLEMS, type Problem, type ProblemCode, type ProblemExtras, problem } from '../contract/problem.ts';
import { DatabaseError } from '../ports/database.ts';

/** Thrown by a handler to answer with a problem document. */
export class ProblemError extends Error {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
  constructor(code: ProblemCode, detail: string, extras: ProblemExtras = {}, headers: Readonly<Record<string, string>> = {}) {
    super(detail);
    this.name = 'ProblemError';
    this.problem = problem(code, detail, extras);
    this.headers = headers;
  }
}

const DATABASE_PROBLEMS: Record<DatabaseError['kind'], readonly [ProblemCode, string]> = {
  busy: ['unavailable', 'the database is busy; try again in a moment'],
  full: ['storage_full', 'the disk of the Supervisor is full: nothing was changed; free space on it and try again'],
  corrupt: ['storage_corrupt', 'the database of the Supervisor is damaged; restore it from a backup'],
  constraint: ['internal', 'the Supervisor failed; its log says why'],
  failed: ['internal', 'the Supervisor failed; its log says why'],
};

/** The problem for anything thrown. What is not meant for callers stays in the log. */
export function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof DatabaseError) return new ProblemError(...DATABASE_PROBLEMS[error.kind]);
  return new ProblemError('internal', 'the Supervisor failed; its log says why');
}

export function problemResponse({ problem: body, headers }: ProblemError): Response {
  const retry: Record<string, string> = body.status === 503 ? { 'retry-after': '1' } : {};
  return new Response(JSON.stringify(body), { status: body.status, headers: { 'content-type': PROBLEM_JSON, ...retry, ...headers } });
}

/** True for a problem that is the Supervisor's own fault and belongs into its log. */
export function isFault({ problem: { code } }: ProblemError): boolean {
  return PROBLEMS[code].status >= 500;
}
