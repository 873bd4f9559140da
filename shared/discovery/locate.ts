import type { Clock } from '../ports/clock.ts';
import { locateCloud } from './locate-cloud.ts';
import { locateLan } from './locate-lan.ts';
import { locateSelf } from './locate-self.ts';
import { describe, type Located, type StepContext, type StepResult } from './located.ts';
import type { LocateReason, LocateStep, LocateStepName, TraceKeeper } from './trace.ts';

interface Step {
  readonly name: LocateStepName;
  run(context: StepContext): Promise<StepResult>;
}

/** In order of preference (specification, section 1; `architecture.md`, A node's life). */
const STEPS: readonly Step[] = [
  { name: 'mdns', run: async ({ deps }) => locateLan('mdns', deps) },
  { name: 'peers', run: async ({ deps }) => locateLan('peers', deps) },
  { name: 'cloud', run: locateCloud },
  { name: 'self', run: locateSelf },
];

/**
 * One round of locating. Undefined when nothing was found; with `current`, when nothing as good as
 * it was. Every candidate is tried in every round: none is remembered as bad.
 */
export async function locate(context: StepContext, traces: TraceKeeper, reason: LocateReason): Promise<Located | undefined> {
  const { deps, current } = context;
  const began = deps.clock.monotonic();
  const steps: LocateStep[] = [];
  let located: Located | undefined;
  for (const step of stepsFor(current)) {
    const stepBegan = deps.clock.monotonic();
    const { located: found, ...result } = await step.run(context);
    steps.push({ step: step.name, ...result, duration_ms: since(deps.clock, stepBegan) });
    located = found;
    if (located !== undefined || context.signal.aborted) break;
  }
  if (located === undefined && current?.source === 'self') {
    steps.push({ step: 'self', outcome: 'found', detail: `stays elected, epoch ${current.lease?.epoch}`, duration_ms: 0 });
  }
  const followed = located ?? current;
  const result = followed === undefined ? 'nothing was found' : describe(followed);
  await traces.keep({ node_id: deps.identity.node_id, reason, steps, result, duration_ms: since(deps.clock, began) });
  return located;
}

/** Milliseconds, to a tenth: more is noise in a file that people read. */
function since(clock: Clock, began: number): number {
  return Math.round((clock.monotonic() - began) * 10) / 10;
}

/** Nothing after the current control plane is better than it, and electing itself twice is nothing new. */
function stepsFor(current: Located | undefined): readonly Step[] {
  if (current === undefined) return STEPS;
  const last = STEPS.findIndex(({ name }) => name === current.source);
  return STEPS.slice(0, current.source === 'self' ? last : last + 1);
}
