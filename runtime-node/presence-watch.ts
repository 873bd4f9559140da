import type { EnvironmentComponentName, Presence } from '../shared/contract/backlog.ts';
import type { ForwardEvent, Forwards } from '../shared/reconcile/fall-forward/types.ts';

/** Tells those who follow the externals of a node what happens to them. */
export interface PresenceWatch {
  /** Takes what a component tells. Never throws. */
  tell(component: EnvironmentComponentName, event: ForwardEvent): void;
  /** Called for each external that goes away, or answers again. */
  onPresence(listener: (component: EnvironmentComponentName, answers: boolean) => void): void;
  /** Told when a presence is another one than before, and of conflicts. */
  onEvent(listener: (component: EnvironmentComponentName, event: ForwardEvent) => void): void;
}

/** So many conflicts are told one by one until the presence changes; health counts all of them. */
const TOLD_CONFLICTS = 20;

/** `forwards`: asked when something is told. */
export function createPresenceWatch(forwards: () => Forwards): PresenceWatch {
  const followers: ((component: EnvironmentComponentName, event: ForwardEvent) => void)[] = [];
  const turns: ((component: EnvironmentComponentName, answers: boolean) => void)[] = [];
  const known = new Map<EnvironmentComponentName, { presence: Presence; conflicts: number }>();
  return {
    tell(component, event) {
      const before = known.get(component) ?? { presence: 'away', conflicts: 0 };
      const presence = forwards()[component]?.status().presence ?? before.presence;
      const isChanged = presence !== before.presence;
      const conflicts = (isChanged ? 0 : before.conflicts) + (event.kind === 'conflict' ? 1 : 0);
      known.set(component, { presence, conflicts });
      const answers = presence !== 'away';
      if (answers !== (before.presence !== 'away')) for (const listener of turns) listener(component, answers);
      if (event.kind === 'conflict' ? conflicts <= TOLD_CONFLICTS : isChanged) for (const listener of followers) listener(component, event);
    },
    onPresence: (listener) => void turns.push(listener),
    onEvent: (listener) => void followers.push(listener),
  };
}
