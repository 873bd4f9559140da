/** Structured facts beside a message. Names are snake_case and those of the wire (`node_id`, `duration_ms`). */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where a part says what it did. Implementations never throw and never block. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds `fields` to each line. */
  child(fields: LogFields): Log;
}
