import type { EnvironmentProfile } from '../contract/profile.ts';
import type { Drafts } from '../contract/reconcile.ts';
import type { Component, ComponentStatus } from '../contract/status.ts';
import { roleOf } from '../decide/roles.ts';
import type { ComponentDiff, Desired } from '../reconcile/types.ts';
import { createEnvironmentApplier } from './apply-environment.ts';
import { createServicesApplier } from './apply-services.ts';
import type { Documents, HeldPlan } from './documents.ts';
import { selectDraft } from './draft-services.ts';
import { reportsOf } from './heartbeat.ts';
import type { Refusals } from './refusals.ts';
import { selectServices, takenUntold } from './select.ts';
import type { StepsLog } from './steps-log.ts';
import type { DiscoveryDeps } from './types.ts';

export interface Appliers {
  /** Hands on what is held: the selected services and the profile. Nothing held means nothing is done. */
  applyHeld(): void;
  /** Where a plan was handed on before, the held one takes its place: nothing more is started as the older one had it. */
  supersedePlan(): void;
  /** Services and environment side by side: what runs is not held up by a backend that is away. */
  run(signal: AbortSignal): Promise<void>;
  /** What an apply of what is held would do, or one of drafts instead. Writes nothing, starts and stops nothing. */
  diff(drafts?: Drafts): Promise<ComponentDiff[]>;
  /** What was handed on and has not ended once, in words. */
  pending(): string[];
}

export interface AppliersDeps {
  readonly deps: DiscoveryDeps;
  readonly documents: Documents;
  readonly refusals: Refusals;
  readonly steps: StepsLog;
  readonly onApplied: () => void;
  /** Holds the lease of its site, by its own clock. */
  readonly leads: () => boolean;
}

export function createAppliers({ deps, documents, refusals, steps, onApplied, leads }: AppliersDeps): Appliers {
  const { config, identity } = deps;
  const node = { node_id: identity.node_id, site: config.site, capabilities: config.capabilities };
  const pending = new Set<'services' | 'environment'>();
  let refusedNames: readonly string[] = [];
  let hasPlan = false;
  const finish = (part: 'services' | 'environment', statuses: readonly [Component, ComponentStatus][]) => {
    for (const [component, status] of statuses) steps.component(component, status);
    pending.delete(part);
    onApplied();
  };
  const services = createServicesApplier({ ...deps, onApplied: (status) => finish('services', [['services', status]]) });
  const environment = createEnvironmentApplier({
    ...deps,
    // A partial record's entries are those of its keys, which Object.entries forgets.
    onApplied: (components) => finish('environment', Object.entries(components) as [Component, ComponentStatus][]),
  });

  const select = ({ held, answer, told }: HeldPlan) =>
    selectServices(answer, held, node, told === undefined ? [] : takenUntold(answer, told, reportsOf(deps.services)));
  const applyPlan = (plan: HeldPlan) => {
    hasPlan = true;
    const selection = select(plan);
    const { generation, hash } = plan.held.document.meta;
    for (const { name, reason } of selection.refused)
      refusals.refuse({ topic: `service ${name}`, component: 'services', action: 'refuse-service', message: reason, generation, hash });
    const names = selection.refused.map(({ name }) => name);
    for (const name of refusedNames) if (!names.includes(name)) refusals.clear(`service ${name}`);
    refusedNames = names;
    if (services.want(selection.services)) pending.add('services');
  };
  const diffDrafts = async ({ profile, plan, placed }: Drafts) => {
    const diffs = profile === undefined ? [] : await deps.environment.diff({ body: profile, ...NOT_PUBLISHED });
    if (plan === undefined) return diffs;
    const held = documents.plan;
    const has = held === undefined ? [] : select(held).services.body;
    const role = held?.answer.role ?? roleOf(node, leads() ? node.node_id : undefined);
    const { services, undecided } = selectDraft(plan, { ...node, role, has }, placed);
    const diff = await deps.services.diff({ body: services, ...NOT_PUBLISHED });
    return [...diffs, undecided.length === 0 ? diff : { ...diff, undecided }];
  };
  return {
    applyHeld() {
      if (documents.plan !== undefined) applyPlan(documents.plan);
      if (documents.profile !== undefined && environment.want(desiredOf(documents.profile), leads())) pending.add('environment');
    },
    supersedePlan() {
      if (hasPlan && documents.plan !== undefined) applyPlan(documents.plan);
    },
    async diff(drafts) {
      if (drafts !== undefined) return diffDrafts(drafts);
      const { plan, profile } = documents;
      const selected = plan === undefined ? undefined : select(plan).services;
      return [
        ...(profile === undefined ? [] : await deps.environment.diff(desiredOf(profile))),
        ...(selected === undefined ? [] : [await deps.services.diff(selected)]),
      ];
    },
    run: async (signal) => {
      await Promise.all([services.run(signal), environment.run(signal)]);
    },
    pending: () => [...pending].map((part) => `the ${part} to be applied`),
  };
}

/** A diff looks at the body alone. */
const NOT_PUBLISHED = { generation: 0, hash: '' } as const;

function desiredOf({ body, document }: NonNullable<Documents['profile']>): Desired<EnvironmentProfile> {
  const { generation, hash } = document.meta;
  return { body, generation, hash };
}
