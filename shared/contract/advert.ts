import * as z from 'zod';
import type { NodeKeys } from './fleet-keys.ts';
import { Count, HttpUrl, Id } from './ids.ts';

/** What the signature of an advert covers; signed with the discovery key. */
export interface AdvertClaims {
  readonly fleet: string;
  readonly site: string;
  readonly node_id: string;
  readonly epoch: number;
  readonly url: string;
}

/** An advert as it may come from anywhere. */
export const SignedAdvert = z.object({ fleet: Id, site: Id, node_id: Id, epoch: Count, url: HttpUrl, signature: z.string().max(128) });
export type SignedAdvert = z.infer<typeof SignedAdvert>;

type Hints = Pick<NodeKeys, 'signHint' | 'verifyHint'>;

/** HMAC-SHA256 under the discovery key, base64url. */
export function signAdvert(keys: Hints, claims: AdvertClaims): Promise<string> {
  return keys.signHint(signed(claims));
}

/** True when somebody who knows the fleet has written it, now or at any time before. */
export function verifyAdvert(keys: Hints, { signature, ...claims }: AdvertClaims & { readonly signature: string }): Promise<boolean> {
  return keys.verifyHint(signed(claims), signature);
}

/** Field by field: what else came along with an advert is not covered. */
function signed({ fleet, site, node_id, epoch, url }: AdvertClaims) {
  return { purpose: 'advert', fleet, site, node_id, epoch, url };
}
