/**
 * The small files of one node: identity, `cluster.json`, cached documents, the last discovery trace.
 * Names are plain file names without folders.
 */
export interface StateFiles {
  /** The file's text, or undefined when there is none. */
  read(name: string): Promise<string | undefined>;
  /**
   * Replaces the file whole (temporary file, fsync, rename): after a crash it is the old or the new
   * text, never a part. Mode 0600. Rejects with `StateFilesError` when the disk refuses.
   */
  write(name: string, text: string): Promise<void>;
  /**
   * Renames a file that can't be used so that a person can look at it; returns its new name, or undefined when there
   * is none. `why` completes the sentence "it can't be used: …". `reason` stands in the new name. Default: `corrupt`.
   */
  setAside(name: string, why: string, reason?: SetAsideReason): Promise<string | undefined>;
  remove(name: string): Promise<void>;
}

/** `corrupt`: it is damaged. `other-key`: it is whole, and signed with another fleet key than the node has. */
export type SetAsideReason = 'corrupt' | 'other-key';

export interface StateFilesErrorOptions extends ErrorOptions {
  readonly is_told?: boolean;
  readonly log_words?: string | undefined;
}

export class StateFilesError extends Error {
  readonly kind: 'full' | 'read_only' | 'failed';
  /** The same was refused a moment ago and told then: it need not be told each time. */
  readonly is_told: boolean;
  /** The message for a log, with how often the same was refused. */
  readonly log_words: string;
  constructor(kind: StateFilesError['kind'], message: string, options: StateFilesErrorOptions = {}) {
    super(message, options);
    this.name = 'StateFilesError';
    this.kind = kind;
    this.is_told = options.is_told ?? false;
    this.log_words = options.log_words ?? message;
  }
}
