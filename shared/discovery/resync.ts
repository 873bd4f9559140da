import type { FencingToken } from '../contract/headers.ts';
import { jittered } from '../decide/jitter.ts';
import { QUIET_TTLS } from '../decide/ttl.ts';
import type { NodeContext } from './context.ts';
import { isOnLan, type Located } from './located.ts';
import { mayRunOn } from './select.ts';

/**
 * How often the plan is asked for where places move with the other nodes, instead of `QUIET_TTLS`. Who holds the news of its leader open is told when one did; the leader
 * asks itself, which is what places anew, and who has neither news nor lease has to ask too.
 */
const COUNTED_TTLS = 1;
/** A new leader has renewed three times within a TTL, and then gives away the places that it held back. */
const SETTLED_TTLS = 1.25;

/** When to ask for the plan again though nothing told to. */
export interface Resync {
  /** Milliseconds from now. */
  delayMs(): number;
  /** To be called after each look that worked. */
  looked(): void;
}

export function createResync(
  { deps, standing, documents }: Pick<NodeContext, 'deps' | 'standing' | 'documents'>,
  located: Located,
): Resync {
  const { clock, random, config, identity } = deps;
  const node = { node_id: identity.node_id, site: config.site, capabilities: config.capabilities };
  let followed: FencingToken | undefined;
  let settled_at = Number.POSITIVE_INFINITY;
  const waitMs = (ttls: number) => jittered(ttls * standing.ttl_seconds() * 1000, random.next());
  const isTold = isOnLan(located);
  const places = located.source === 'self';
  const hasCounted = () =>
    documents.plan?.held.body.services.some((service) => service.placement.count !== undefined && (places || mayRunOn(service, node))) ??
    false;
  return {
    delayMs: () => Math.max(0, Math.min(waitMs(!isTold && hasCounted() ? COUNTED_TTLS : QUIET_TTLS), settled_at - clock.monotonic())),
    looked() {
      if (isTold) return;
      const { token } = standing;
      if (clock.monotonic() >= settled_at) settled_at = Number.POSITIVE_INFINITY;
      if (token?.epoch !== followed?.epoch || token?.node_id !== followed?.node_id) settled_at = clock.monotonic() + waitMs(SETTLED_TTLS);
      followed = token;
    },
  };
}
