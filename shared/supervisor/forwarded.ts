import { sha256Hex } from '../contract/canonical.ts';
import { isKeyHolder, type NodeKeys } from '../contract/fleet-keys.ts';
import { FORWARDED_HEADER, type ForwardedCaller, KEY_REFUSED, parseForwarded, verifyForward } from '../contract/forward.ts';
import { type Caller, type Keyring, notOfThisFleet, unauthenticated, type VerifyForwarded } from './auth.ts';
import { OFFER_BYTES, readBytes } from './body.ts';
import type { IssuedKeys } from './identity/issued-keys.ts';
import { ProblemError } from './problem.ts';
import { createReplayMemory } from './replay-memory.ts';

/** Of a body that is named by its path the store checks the hash itself. */
const NAMED_BODY = /^\/v1\/artifacts\/[0-9a-f]{64}$/;

/** What the node that is asked knows of itself. */
export interface AskedNode {
  readonly node_id: string;
  origins(): readonly string[];
  leading?(): number | undefined;
}

/**
 * Tells for whom a node passes a request on. Throws `unauthenticated` for what no node of the fleet
 * has signed for this very request, was signed for another address, or was used before, and
 * `misdirected` where this node does not lead at the epoch that it was signed for: then nothing was done.
 */
export function createForwardVerifier(fleets: Keyring, self: AskedNode, issued: IssuedKeys): VerifyForwarded {
  const used = createReplayMemory();
  return async (request, credential) => {
    const keys = await fleets.keysOf(credential.fleet);
    const { url, method, headers } = request;
    const { pathname, search } = new URL(url);
    const claimed = parseForwarded(headers.get(FORWARDED_HEADER) ?? '');
    const covered = { method, path: `${pathname}${search}`, if_match: headers.get('if-match') };
    if (keys === undefined || !isKeyHolder(keys) || claimed === undefined || !(await verifyForward(keys, credential, claimed, covered))) {
      throw unauthenticated('no node of this fleet has signed this request as one that it passes on');
    }
    if (!self.origins().includes(claimed.to)) throw unauthenticated(`the request was passed on to ${claimed.to}, which is not this node`);
    refuseOtherEpoch(self, claimed.epoch);
    await refuseOtherBody(request, pathname, claimed.body_sha256);
    if (!used.take(claimed.epoch, claimed.nonce)) throw unauthenticated('the request was passed on before: it holds for one time');
    return callerOf(keys, claimed, issued);
  };
}

function refuseOtherEpoch(self: AskedNode, epoch: number): void {
  const leading = self.leading?.();
  if (leading === epoch) return;
  const now = leading === undefined ? 'does not lead' : `leads at epoch ${leading}`;
  throw new ProblemError('misdirected', `the request was passed on to a leader at epoch ${epoch}; node ${self.node_id} ${now}`);
}

async function refuseOtherBody(request: Request, pathname: string, expected: string | undefined): Promise<void> {
  if (expected === undefined && NAMED_BODY.test(pathname) && request.method === 'PUT') return;
  const body = request.body === null ? new Uint8Array() : await readBytes(request.clone(), OFFER_BYTES);
  if ((await sha256Hex(body)) !== expected) throw unauthenticated('the body is not the one that the node which passed it on has signed');
}

/** The scope stays what it was: nobody gains by a detour. What an issued key allows is looked up here, as if it had come itself. */
async function callerOf(keys: NodeKeys, claimed: ForwardedCaller, issued: IssuedKeys): Promise<Caller> {
  const { fleet } = keys;
  if (claimed.scope !== 'issued') {
    const { scope, caller_node_id: node_id, subject } = claimed;
    return { fleet, keys, scope, ...(node_id === undefined ? {} : { node_id }), ...(subject === undefined ? {} : { subject }) };
  }
  const caller = await issued.verifyHash(claimed.key_sha256, { fleet, key_id: claimed.key_id }, keys);
  if (caller === undefined) throw keyRefused(notOfThisFleet());
  if ('ended' in caller) throw keyRefused(unauthenticated(caller.ended));
  return caller;
}

/** Says to the node that has passed the request on that its signature is good, and the key of its caller is not. */
function keyRefused({ problem, message }: ProblemError): ProblemError {
  return new ProblemError(problem.code, message, {}, { 'www-authenticate': KEY_REFUSED });
}
