/**
 * Why a command fails, and what it exits with. 2 is not an error: a `diff` found differences.
 * 64 and 69 are EX_USAGE and EX_UNAVAILABLE of sysexits.h.
 */
export const EXIT_CODES = {
  ok: 0,
  failed: 1,
  refused: 1,
  invalid_document: 1,
  file: 1,
  declined: 1,
  differs: 2,
  usage: 64,
  config: 64,
  unreachable: 69,
} as const;

export type FailureKind = Exclude<keyof typeof EXIT_CODES, 'ok' | 'differs'>;

export const EXIT_CODE_HELP = `Exit codes:
  0   done; for diff and reconcile --dry-run: nothing differs; for prune: nothing is left to remove
  1   failed, refused or not valid
  2   diff and reconcile --dry-run: something differs; conflicts and backlog: some are open; prune: something could be removed
  64  the command line or a setting is wrong
  69  no node answers`;

/** A failure that a person can do something about. `hint` says what. */
export class CommandError extends Error {
  readonly kind: FailureKind;
  readonly hint: string | undefined;
  constructor(kind: FailureKind, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandError';
    this.kind = kind;
    this.hint = hint;
  }
}
