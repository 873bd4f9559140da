/** Randomness, so that a seed replays a run. */
export interface Random {
  /** A number in [0, 1). Not for secrets. */
  next(): number;
  /** `length` bytes fit for keys and nonces. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
  /** A new UUIDv7 (RFC 9562) for the clock's current time. */
  uuid(): string;
}
