import { SignedAdvert, verifyAdvert } from '../contract/advert.ts';
import { isEpochJump } from '../decide/leadership.ts';
import type { Candidate } from './candidate.ts';
import type { EpochMemory } from './epoch-memory.ts';
import type { Located } from './located.ts';
import type { DiscoveryDeps } from './types.ts';

/** An advert that counts is a candidate; of another, why it does not. Neither: it is this node's own. */
export type Checked = { readonly candidate: Candidate } | { readonly refused: string } | { readonly own: true };

interface Deps extends Pick<DiscoveryDeps, 'config' | 'identity'> {
  verify(advert: SignedAdvert): Promise<boolean>;
}

/** Of a site that boots at once each node hears each other many times: so many are known to be signed, and are not verified again. */
const MAX_VERIFIED = 256;

/** Whether an advert is signed by somebody of the fleet. */
export function createAdvertVerifier({ fleetKeys }: Pick<DiscoveryDeps, 'fleetKeys'>): Deps['verify'] {
  const verified = new Set<string>();
  return async (advert) => {
    const { fleet, site, node_id, epoch, url, signature } = advert;
    const key = JSON.stringify([fleet, site, node_id, epoch, url, signature]);
    if (verified.has(key)) return true;
    if (!(await verifyAdvert(fleetKeys, advert))) return false;
    if (verified.size >= MAX_VERIFIED) verified.clear();
    verified.add(key);
    return true;
  };
}

const FORGED = 'its signature is not right: forged, or of a fleet with another key';

/** Whether an advert that was heard counts: of this fleet and site, signed, and of an epoch that can be true. */
export async function checkAdvert(
  { config, identity, verify }: Deps,
  epochs: Pick<EpochMemory, 'highest'>,
  given: unknown,
  via: Candidate['via'],
): Promise<Checked> {
  const parsed = SignedAdvert.safeParse(given);
  if (!parsed.success) return { refused: 'it is no advert that this version knows' };
  const advert = parsed.data;
  if (advert.fleet !== config.fleet) return { refused: `it is of fleet ${advert.fleet}, not ${config.fleet}` };
  if (!(await verify(advert))) return { refused: FORGED };
  if (advert.site !== config.site) return { refused: `it is of site ${advert.site}, not ${config.site}` };
  const { origin } = new URL(advert.url);
  const isOwn = advert.node_id === identity.node_id && origin === new URL(config.advertise_url()).origin;
  if (isOwn) return { own: true };
  if (isEpochJump(epochs.highest, advert.epoch)) return { refused: `its epoch ${advert.epoch} is too far ahead to be true` };
  return { candidate: { url: origin, node_id: advert.node_id, epoch: advert.epoch, via } };
}

/**
 * True when an advert may lead to another control plane than the one that is followed. Who advertises
 * a lower epoch, or the same one as the leader that is followed, knows of nothing better.
 */
export function tellsNews(
  { config, identity }: Pick<Deps, 'config' | 'identity'>,
  followed: Located | undefined,
  candidate: Candidate,
): boolean {
  const { node_id, url, epoch = 0 } = candidate;
  if (node_id === identity.node_id) return new URL(url).origin !== new URL(config.advertise_url()).origin;
  if (followed === undefined) return true;
  if (followed.lease !== undefined) return epoch >= followed.lease.epoch;
  const { leader } = followed;
  if (leader === undefined) return true;
  return followed.source === 'cloud'
    ? epoch >= leader.epoch
    : epoch > leader.epoch || (node_id === leader.node_id && url !== leader.leader_url);
}
