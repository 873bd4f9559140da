import type { Liveness } from '../contract/node.ts';

/** Milliseconds between heartbeats: a third of the TTL (specification, section 1). */
export function heartbeatIntervalMs(ttl_seconds: number): number {
  return (ttl_seconds * 1000) / 3;
}

/** How often, in TTLs, the desired documents and a better control plane are looked for when no news came. */
export const QUIET_TTLS = 4;

/** Milliseconds from one look at everybody to the next: less where something better is known to exist, the cloud that is away. */
export function lookIntervalMs(followed: { readonly provisional: boolean } | undefined, ttl_seconds: number): number {
  return (followed?.provisional === true ? 1 : QUIET_TTLS) * ttl_seconds * 1000;
}

/** A node is `lost` when nothing was heard for this many TTLs. */
export const LOST_AFTER_TTLS = 3;

/** Judges a node by the milliseconds since it was heard. An age below zero (the clock was set back) counts as fresh; the next placement of its site puts that right. */
export function livenessOf(age_ms: number, ttl_seconds: number, hasLeft = false): Liveness {
  if (hasLeft) return 'left';
  const ttl_ms = ttl_seconds * 1000;
  if (age_ms <= ttl_ms) return 'online';
  return age_ms <= LOST_AFTER_TTLS * ttl_ms ? 'late' : 'lost';
}

/** A lease as its holder knows it. Both times are readings of the monotonic clock or lengths, milliseconds. */
export interface HeldLease {
  /** When the claim or renewal that was granted was sent, not when its answer came: the answer may have been under way for long. */
  readonly sent_at_ms: number;
  /** `expires_in_ms` of the answer. */
  readonly expires_in_ms: number;
}

/** When to renew, on the clock of `sent_at_ms`: after a third of the lease, so that two renewals may fail. */
export function renewAtMs(lease: HeldLease): number {
  return lease.sent_at_ms + lease.expires_in_ms / 3;
}

/** When the holder must stop leading unless a renewal was granted, on the clock of `sent_at_ms`. */
export function leaseEndsAtMs(lease: HeldLease): number {
  return lease.sent_at_ms + lease.expires_in_ms;
}

/** True while the holder may act as leader. `monotonic_ms` must include time that the machine slept. */
export function leaseHolds(lease: HeldLease, monotonic_ms: number): boolean {
  return monotonic_ms < leaseEndsAtMs(lease);
}
