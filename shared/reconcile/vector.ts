import type { EnvironmentProfile } from '../contract/profile.ts';
import type { VectorIndex } from '../ports/vector-index.ts';
import { type Executors, plan } from './action.ts';
import type { EnvironmentComponent } from './component.ts';
import type { VectorActions } from './vector-actions.ts';
import { diffVector } from './vector-diff.ts';

/** How each safe action of the vector index is done. */
export const vectorExecutors: Executors<VectorActions, VectorIndex> = {
  'ensure-class': (index, { spec }) => index.ensureClass(spec),
  'add-properties': (index, { class_name, properties }) => index.ensureProperties(class_name, properties),
};

/** The vector index as a component of the environment. Reads nothing when the profile names no class. */
export function vectorComponent(index: VectorIndex): EnvironmentComponent {
  return {
    component: 'vector',
    backend: index.backend.kind,
    ...(index.capabilities.shared ? { shared_identity: index.backend.identity } : {}),
    async plan({ vector: desired }: Partial<EnvironmentProfile>) {
      const names = (desired?.classes ?? []).map(({ name }) => name);
      const actual = names.length === 0 ? [] : await index.readClasses(names);
      return plan<VectorActions, VectorIndex>(diffVector(desired, actual, index.capabilities), vectorExecutors, index);
    },
  };
}
