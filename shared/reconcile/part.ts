import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Component } from '../contract/status.ts';
import { applyComponent, type Beside, type ComponentMemory, leaveComponent, standAside } from './apply-component.ts';
import type { EnvironmentComponent } from './component.ts';
import type { RunDeps } from './component-run.ts';
import { withDeadline } from './deadline.ts';
import { besides, diffDefault, type EmbeddedDefault, type Prepared, standsIn } from './fall-forward/embedded-default.ts';
import type { FallForward } from './fall-forward/types.ts';
import type { ComponentDiff, Desired } from './types.ts';
import { describeError } from './wording.ts';

/** A component, what its runs remember, and what stands beside it. */
export interface Part {
  readonly component: EnvironmentComponent;
  readonly memory: ComponentMemory;
  readonly embedded?: EmbeddedDefault;
}

export interface PartDeps extends RunDeps {
  /**
   * The node that reconciles this backend for others, where that is not this one: two nodes at different generations
   * must never fight over one backend. Default: nobody else does.
   */
  readonly reconciledBy?: (component: Component, identity: string) => string | undefined;
}

interface Backed {
  readonly backend: { readonly kind: string; readonly identity: string };
}

export function toPart<Port extends Backed>(
  toComponent: (port: Port) => EnvironmentComponent,
  port: Port,
  forward: FallForward<Port> | undefined,
): Part {
  if (forward === undefined) return { component: toComponent(port), memory: {} };
  const { external, fallback } = forward;
  const embedded = { component: toComponent(fallback), external: nameOf(external), forward, told: undefined };
  return { component: toComponent(external), memory: {}, embedded };
}

/** For people: `s3 at http://192.0.2.9:9000`. Of no identity that shows a secret. */
export function nameOf({ backend: { kind, identity } }: Backed): string {
  return `${kind} at ${identity}`;
}

/** Applies, or says why that is left to another or to later. `prepared`: what the apply made of the embedded default. Never rejects. */
export async function applyPart(
  deps: PartDeps,
  { component, memory, embedded }: Part,
  profile: Desired<EnvironmentProfile>,
  prepared: Prepared | undefined,
): Promise<void> {
  const reconciled_by = reconciledBy(deps, component);
  if (embedded === undefined || prepared === undefined) {
    if (reconciled_by === undefined) return applyComponent(deps, component, profile, memory);
    return leaveComponent(deps, component, profile, { memory, reconciled_by });
  }
  const beside: Beside = {
    standsIn: (reason) => standsIn(embedded, prepared, reason),
    besides: (outcome) => besides(outcome, embedded, prepared),
  };
  if (reconciled_by !== undefined) return leaveComponent(deps, component, profile, { memory, reconciled_by, beside });
  const { presence, reason = 'it does not answer' } = embedded.forward.status();
  // What is known to be away is not asked here too: `onPresence` tells when it answers.
  if (presence === 'away') return standAside(deps, component, profile, { memory, outcome: standsIn(embedded, prepared, reason) });
  await applyComponent(deps, component, profile, memory, beside);
  // What waits for the environment goes over now; and what was taken for present and did not answer is asked again.
  const isApplied = memory.status?.status === 'applied' || memory.status?.status === 'unchanged';
  if (memory.status?.status === 'pending' || (isApplied && embedded.forward.status().presence !== 'present')) embedded.forward.wake();
}

function reconciledBy({ reconciledBy }: PartDeps, { component, shared_identity }: EnvironmentComponent) {
  return shared_identity === undefined ? undefined : reconciledBy?.(component, shared_identity);
}

/** What `applyPart` would do. Writes nothing. */
export async function diffPart(
  deps: PartDeps,
  { component, embedded }: Part,
  { body }: Desired<EnvironmentProfile>,
): Promise<ComponentDiff> {
  if (embedded === undefined) return diffComponent(deps, component, body);
  const { presence, reason = 'it does not answer' } = embedded.forward.status();
  const isAsked = presence !== 'away' || reconciledBy(deps, component) !== undefined;
  const failed = `${embedded.external} is away: ${reason}`;
  const diff = isAsked
    ? await diffComponent(deps, component, body)
    : { component: component.component, backend: component.backend, actions: [], failed };
  return { ...diff, embedded: await diffDefault(deps, embedded, body) };
}

async function diffComponent(deps: PartDeps, environment: EnvironmentComponent, body: EnvironmentProfile): Promise<ComponentDiff> {
  const { component, backend, plan } = environment;
  const { clock, call_limit_ms } = deps;
  const reconciled_by = reconciledBy(deps, environment);
  if (reconciled_by !== undefined) return { component, backend, actions: [], reconciled_by };
  try {
    const planned = await withDeadline(clock, call_limit_ms, () => plan(body));
    return { component, backend, actions: planned.map(({ view }) => view) };
  } catch (error) {
    return { component, backend, actions: [], failed: describeError(error) };
  }
}
