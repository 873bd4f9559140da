/** A small text that somebody else keeps current, as a file that an agent of the platform replaces. */
export interface WatchedText {
  /** What it is called, for messages. */
  readonly name: string;
  /** Another value when the text may have changed. Cheap. What it rejects with says what is wrong, going on from `name`. */
  version(): Promise<string>;
  /** Rejects as `version`. */
  read(): Promise<string>;
}
