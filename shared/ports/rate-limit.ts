/** How often one caller may call, whatever tells callers apart. */
export interface RateLimit {
  /** Counts one call of `key`, of at most 512 characters. Milliseconds until the next one is allowed; 0: this one is. Never rejects. */
  take(key: string): number | Promise<number>;
}
