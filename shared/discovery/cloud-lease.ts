import { connect } from './connect.ts';
import { type Claim, claimLease } from './lease.ts';
import { releaseCloudLease } from './release.ts';
import type { LocateContext } from './round.ts';

export interface CloudClaimOptions {
  /** The highest epoch ever seen. */
  readonly epoch_seen: number;
  /** Milliseconds. */
  readonly timeout_ms?: () => number;
}

/**
 * A claim at the cloud. It is not cut off when the round ends, for then nobody would know whether it was granted, and a
 * lease that nobody holds keeps all others from leading for a whole TTL. What is granted to a node that stops is given
 * back. Rejects as the call does.
 */
export async function claimAtCloud(context: LocateContext, { epoch_seen, timeout_ms }: CloudClaimOptions): Promise<Claim> {
  const { deps, standing } = context;
  const { cloud_url } = deps.config;
  if (cloud_url === undefined) throw new TypeError('no cloud is configured');
  const limit = timeout_ms === undefined ? {} : { timeout_ms };
  const cloud = connect({ ...context, signal: new AbortController().signal }, { url: cloud_url, fetch: deps.fetch, ...limit });
  const claim = await claimLease(deps, cloud, epoch_seen === 0 ? {} : { epoch_seen });
  if (!('granted' in claim) || standing.phase !== 'stopping') return claim;
  await releaseCloudLease(context, claim.granted, false);
  throw new Error('the node stops, and has given the lease back');
}
