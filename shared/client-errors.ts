import type { Problem } from './contract/problem.ts';

/** The Supervisor answered with a problem document. */
export class ApiError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.name = 'ApiError';
    this.problem = problem;
  }
}

export interface UnreachableOptions extends ErrorOptions {
  readonly isOfChange?: boolean;
}

/**
 * No usable answer. `refused`: the machine is there, but no program listens. `no_answer`: nobody answered.
 * `broken_off`: the answer ended in the middle. `not_understood`: it came whole, but not in the words of this API.
 */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
  readonly kind: 'refused' | 'no_answer' | 'broken_off' | 'not_understood';
  /** The call was to change something: it may have been done or not, unless it never left. */
  readonly isOfChange: boolean;
  constructor(kind: UnreachableError['kind'], message: string, { isOfChange = false, ...options }: UnreachableOptions = {}) {
    super(message, options);
    this.kind = kind;
    this.isOfChange = isOfChange;
  }
}

/** The innermost message: fetch wraps "ECONNREFUSED" in "fetch failed". What OpenSSL writes is for its authors, so its code is told. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const inner = error.cause instanceof Error && error.cause.message !== '' ? error.cause : error;
  const code = 'code' in inner ? String(inner.code) : '';
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return 'what listens there does not speak https';
  return code.startsWith('ERR_SSL_') ? `TLS failed (${code})` : inner.message;
}
