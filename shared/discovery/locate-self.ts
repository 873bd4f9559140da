import { isKeyHolder } from '../contract/fleet-keys.ts';
import type { Candidate } from './candidate.ts';
import { turnOf, waitForTurn } from './elect.ts';
import { messageOf } from './json-file.ts';
import { foremost, lookLast } from './last-look.ts';
import { claimOwn, leadBy } from './own-supervisor.ts';
import { isProvedCloud } from './prove.ts';
import type { StepContext, StepResult } from './round.ts';

const KEYLESS =
  'this node has joined without the fleet key and has no cloud over https: nobody could tell it whose a credential is, and nobody would sign documents, so it never leads';

/** Elects this node: waits for its turn, looks a last time, and claims in its own Supervisor above every epoch that it has ever seen. */
export async function locateSelf(context: StepContext): Promise<StepResult> {
  const { deps, signal } = context;
  if (!isKeyHolder(deps.fleetKeys) && !isProvedCloud(deps.config.cloud_url)) return { outcome: 'off', detail: KEYLESS };
  if (!deps.config.lead) return { outcome: 'off', detail: 'BOOTPLANE_LEAD is off, so this node does not elect itself' };
  const turn = turnOf(context);
  const until = deps.clock.monotonic() + turn.wait_ms;
  let looks = 0;
  let silent: readonly Candidate[] = [];
  while (!signal.aborted) {
    const heard = await waitForTurn(context, until);
    const isMyTurn = deps.clock.monotonic() >= until;
    // Another may have been elected while this node looked: what it says of itself is heard before anything is claimed.
    if (isMyTurn && looks > 0 && heard.length === 0 && silent.length === 0) return elect(context);
    const before = isMyTurn && looks === 0 ? turn.before : [];
    const last = await lookLast(
      context,
      [...foremost(heard), ...silent, ...before],
      silent.length === 0 ? turn.timeout_ms : 2 * turn.timeout_ms,
    );
    if ('outcome' in last) return last;
    if (isMyTurn) looks += 1;
    silent = turn.looks > 1 && looks < turn.looks ? last.silent : [];
  }
  return { outcome: 'off', detail: 'the node stops' };
}

async function elect(context: StepContext): Promise<StepResult> {
  try {
    const claim = await claimOwn(context, context.epochs.highest);
    if ('lost_to' in claim) {
      const { node_id, expires_in_ms } = claim.lost_to;
      return { outcome: 'rejected', detail: `its own Supervisor holds a lease of ${node_id} for another ${expires_in_ms} ms` };
    }
    const located = await leadBy(context, claim.granted);
    return { outcome: 'found', detail: `elected itself, epoch ${claim.granted.epoch}`, located };
  } catch (error) {
    return { outcome: 'rejected', detail: `its own Supervisor refused the claim: ${messageOf(error)}` };
  }
}
