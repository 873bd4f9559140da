import { lookIntervalMs } from '../decide/ttl.ts';
import type { Clock } from '../ports/clock.ts';
import { askTwin, forgetTwin } from './clone.ts';
import { holds } from './lease.ts';
import { locateCloud } from './locate-cloud.ts';
import { locateMdns, locatePeers } from './locate-lan.ts';
import { locateSelf } from './locate-self.ts';
import { describe, type Located } from './located.ts';
import type { LocateContext, StepContext, StepResult } from './round.ts';
import type { LocateReason, LocateStep, LocateStepName, TraceKeeper } from './trace.ts';

/** In order of preference (`docs/TECHNICAL/BOOTSTRAP_ARCHITECTURE.md`, A node's life). */
const STEPS: Readonly<Record<LocateStepName, (context: StepContext) => Promise<StepResult>>> = {
  mdns: locateMdns,
  peers: locatePeers,
  cloud: locateCloud,
  self: locateSelf,
};

/**
 * One round of locating. Undefined when nothing was found; with `current`, when nothing as good as
 * it was. Every candidate is tried in every round: none is remembered as bad. A round with `current` for which
 * adverts told of something new asks only those.
 */
export async function locate(given: LocateContext, traces: TraceKeeper, why: LocateReason): Promise<Located | undefined> {
  const { deps, current } = given;
  const context = startRound(given, traces);
  const reason = context.round.isHinted ? 'hint' : why;
  const began = deps.clock.monotonic();
  const steps: LocateStep[] = [];
  let located: Located | undefined;
  const twin = await askTwin(context);
  if (twin !== undefined) steps.push({ step: 'peers', ...twin, duration_ms: since(deps.clock, began) });
  for (const name of twin === undefined ? stepsFor(context) : []) {
    const stepBegan = deps.clock.monotonic();
    const { located: found, ...result } = await STEPS[name](context);
    steps.push({ step: name, ...result, duration_ms: since(deps.clock, stepBegan) });
    located = found;
    if (located !== undefined || context.signal.aborted || context.round.clone?.yields !== undefined) break;
  }
  if (located === undefined && current?.source === 'self') steps.push(stayElected(current));
  forgetTwin(context);
  if (current !== undefined && context.round.clone?.yields !== undefined) context.stepDown?.(context.round.clone.yields);
  const result = describeResult(context, located);
  await traces.keep({ node_id: deps.identity.node_id, reason, steps, result, duration_ms: since(deps.clock, began) });
  return located;
}

function describeResult({ current, round }: StepContext, located: Located | undefined): string {
  if (round.clone?.yields !== undefined) return round.clone.yields;
  const followed = located ?? current;
  return followed === undefined ? 'nothing was found' : describe(followed);
}

function stayElected({ lease }: Located): LocateStep {
  return { step: 'self', outcome: 'found', detail: `stays elected, epoch ${lease?.epoch}`, duration_ms: 0 };
}

const QUICK: readonly LocateStepName[] = ['cloud', 'self'];
const HINTED: readonly LocateStepName[] = ['peers'];
const ON_LAN: readonly LocateStepName[] = ['mdns', 'peers'];
const BEYOND: readonly LocateStepName[] = [...ON_LAN, 'cloud'];
const ALL: readonly LocateStepName[] = [...BEYOND, 'self'];

/**
 * Nothing after the current control plane is better than it, but for the cloud, which may know of a leader that it has
 * confirmed. Who holds the cloud's own lease hears of another with each renewal, and need not ask.
 */
function stepsFor({ current, takeover, round, deps }: StepContext): readonly LocateStepName[] {
  if (current === undefined) return takeover === undefined ? ALL : QUICK;
  if (round.isHinted) return HINTED;
  const isOnLan = current.source === 'mdns' || current.source === 'peer';
  return (isOnLan && !current.provisional) || holds(current.cloud_lease, deps.clock) ? ON_LAN : BEYOND;
}

function startRound(given: LocateContext, traces: TraceKeeper): StepContext {
  const { deps, current, takeover, adverts, standing } = given;
  // Who takes over hears of the others while it waits for its turn.
  const hinted = takeover === undefined ? adverts.take() : [];
  const isDue = deps.clock.monotonic() - traces.full_at >= lookIntervalMs(current, standing.ttl_seconds());
  const isHinted = current !== undefined && hinted.length > 0 && !isDue;
  return { ...given, round: { isHinted, hinted, asked: new Set(), heard: new Map(), proved: new Map() } };
}

/** Milliseconds, to a tenth: more is noise in a file that people read. */
function since(clock: Clock, began: number): number {
  return Math.round((clock.monotonic() - began) * 10) / 10;
}
