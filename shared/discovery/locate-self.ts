import { connect } from './connect.ts';
import { messageOf } from './json-file.ts';
import { claimLease } from './lease.ts';
import type { StepContext, StepResult } from './located.ts';
import { SELF_LINE } from './verify.ts';

/** Elects this node: a claim in its own Supervisor, above every epoch that it has ever seen. */
export async function locateSelf(context: StepContext): Promise<StepResult> {
  const { deps, epochs } = context;
  const { url, fetch } = deps.self;
  if (!deps.config.lead) return { outcome: 'off', detail: 'BOOTPLANE_LEAD is off, so this node does not elect itself' };
  try {
    const claim = await claimLease(deps, connect(context, { url, fetch }), epochs.highest === 0 ? {} : { epoch_seen: epochs.highest });
    if ('lost_to' in claim) {
      const { node_id, expires_in_ms } = claim.lost_to;
      return { outcome: 'rejected', detail: `its own Supervisor holds a lease of ${node_id} for another ${expires_in_ms} ms` };
    }
    await epochs.note(claim.granted.epoch);
    const provisional = deps.config.cloud_url !== undefined;
    const located = { source: 'self', url, fetch, line: SELF_LINE, lease: claim.granted, provisional } as const;
    return { outcome: 'found', detail: `elected itself, epoch ${claim.granted.epoch}`, located };
  } catch (error) {
    return { outcome: 'rejected', detail: `its own Supervisor refused the claim: ${messageOf(error)}` };
  }
}
