import * as z from 'zod';

/** Names of nodes, fleets, sites, services: safe in a URL, a file name, a label and a log line. */
export const Id = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'must start with a letter or digit and hold 1 to 128 of A-Z a-z 0-9 . _ -');

/** A whole number from 0 on. */
export const Count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** RFC 3339, UTC. */
export const Timestamp = z.iso.datetime();

export const HttpUrl = z.url({ protocol: /^https?$/, error: 'must be a URL that starts with http:// or https://' }).max(2048);

/** Lower-case hex. */
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');

/** Versions of software by name, as a node reports them. */
export const Versions = z.record(z.string().max(128), z.string().max(128));

export const Role = z.enum(['leader', 'worker', 'proxy']).meta({ id: 'Role' });
export type Role = z.infer<typeof Role>;

/** Turns milliseconds since the Unix epoch into the wire's form. */
export function toTimestamp(milliseconds: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: a pure conversion that reads no clock
  return new Date(milliseconds).toISOString();
}

/** The other way round; NaN for a text that is no timestamp. */
export function fromTimestamp(timestamp: string): number {
  // biome-ignore lint/style/noRestrictedGlobals: a pure conversion that reads no clock
  return Date.parse(timestamp);
}
