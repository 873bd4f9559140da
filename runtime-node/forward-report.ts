import type { EnvironmentComponentName, Presence } from '../shared/contract/backlog.ts';
import type { ComponentOutcome } from '../shared/contract/status.ts';
import type { ForwardEvent, Forwards } from '../shared/reconcile/fall-forward/types.ts';
import type { Report } from '../shared/reconcile/types.ts';

const TOLD_AS: Readonly<Record<Presence, ComponentOutcome>> = { away: 'pending', forwarding: 'pending', present: 'applied' };

/** Makes events of what happens to an external, so that it is seen where the whole fleet is looked at. */
export function forwardReporter(
  node_id: string,
  forwards: Forwards,
  report: Report,
): (component: EnvironmentComponentName, event: ForwardEvent) => void {
  return (component, { kind, message }) => {
    const presence = forwards[component]?.status().presence ?? 'away';
    const status = kind === 'conflict' ? 'failed' : TOLD_AS[presence];
    report({ node_id, component, action: 'fall-forward', status, message: message.slice(0, 4096) });
  };
}
