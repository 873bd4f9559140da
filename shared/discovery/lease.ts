import { ApiError, type Client } from '../client.ts';
import type { ClaimAnswer } from '../contract/leader.ts';
import { jittered } from '../decide/jitter.ts';
import { type HeldLease, leaseEndsAtMs, leaseHolds, renewAtMs } from '../decide/ttl.ts';
import type { Clock } from '../ports/clock.ts';
import { messageOf } from './json-file.ts';
import type { DiscoveryDeps } from './types.ts';

/** The lease of this node's site, as its holder knows it. `held` is replaced at each renewal. */
export interface Lease {
  readonly epoch: number;
  held: HeldLease;
}

export type Claim = { readonly granted: Lease } | { readonly lost_to: ClaimAnswer };

export interface ClaimOptions {
  /** The epoch held: renews. */
  readonly epoch?: number;
  /** The highest epoch ever seen. */
  readonly epoch_seen?: number;
}

/** Claims or renews. The lease counts from the moment before the claim was sent. Losing is a normal answer. */
export async function claimLease(
  deps: Pick<DiscoveryDeps, 'config' | 'identity' | 'clock'>,
  client: Client,
  options: ClaimOptions,
): Promise<Claim> {
  const { config, identity, clock } = deps;
  const sent_at_ms = clock.monotonic();
  const { body } = await client.claim({ node_id: identity.node_id, url: config.advertise_url(), ...options }, config.site);
  if (!body.granted) return { lost_to: body };
  return { granted: { epoch: body.epoch, held: { sent_at_ms, expires_in_ms: body.expires_in_ms } } };
}

/** True while this node may act as leader, by its own clock. */
export function holds(lease: Lease | undefined, clock: Clock): boolean {
  return lease !== undefined && leaseHolds(lease.held, clock.monotonic());
}

/** Milliseconds until the lease runs out. */
export function leaseLeftMs(lease: Lease, clock: Clock): number {
  return leaseEndsAtMs(lease.held) - clock.monotonic();
}

/**
 * How the holding of a lease ended: another has it, nobody renewed it in time, the session ended, or it
 * had lapsed and the same node was granted the next one.
 */
export type LeaseEnd = 'lost' | 'lapsed' | 'ended' | { readonly regained: Lease };

/** What is held, and how. */
export interface Holding {
  readonly lease: Lease;
  /** Rejects when nobody answered. */
  renew(): Promise<Claim>;
  /** When to renew next, by the monotonic clock. Default: after a third of the lease. */
  nextAt?(lease: Lease): number;
  /** The highest epoch that is known here. Who has led no more for a moment does not lead again below it. */
  highest?(): number;
}

/**
 * Renews the lease until it is lost, runs out or `signal` aborts. A renewal that fails, or is overtaken
 * by this node's own claim of a higher epoch, is tried again about a tenth of the lease later.
 */
export async function holdLease(deps: DiscoveryDeps, holding: Holding, signal: AbortSignal): Promise<LeaseEnd> {
  const { clock, log, random } = deps;
  const { lease, renew, nextAt = ({ held }) => renewAtMs(held), highest = () => 0 } = holding;
  const soon = () => clock.monotonic() + jittered(lease.held.expires_in_ms / 10, random.next());
  let next = nextAt(lease);
  while (!signal.aborted) {
    await clock.sleep(Math.max(0, Math.min(next - clock.monotonic(), leaseLeftMs(lease, clock))), signal);
    if (signal.aborted) break;
    if (!holds(lease, clock)) return 'lapsed';
    try {
      const claim = await renew();
      if ('lost_to' in claim) {
        if (!isThisNode(deps, claim.lost_to)) return 'lost';
        // This node met another leader and is about to lead at a higher epoch: the session ends with that.
        next = soon();
        continue;
      }
      if (claim.granted.epoch !== lease.epoch) return { regained: claim.granted };
      if (highest() > lease.epoch && !holds(lease, clock)) return 'lapsed';
      lease.held = claim.granted.held;
      next = nextAt(lease);
    } catch (error) {
      if (signal.aborted) break;
      if (error instanceof ApiError && error.problem.code === 'stale_epoch') return 'lost';
      log.warn(`the lease was not renewed: ${messageOf(error)}`, { epoch: lease.epoch, left_ms: Math.round(leaseLeftMs(lease, clock)) });
      next = soon();
    }
  }
  return 'ended';
}

function isThisNode({ config, identity }: DiscoveryDeps, { node_id, leader_url }: ClaimAnswer): boolean {
  return node_id === identity.node_id && leader_url === config.advertise_url();
}
