import type { EnvironmentProfile } from '../contract/profile.ts';
import type { VectorIndex } from '../ports/vector-index.ts';
import { type Executors, plan } from './action.ts';
import type { EnvironmentComponent } from './component.ts';
import { type BackendMaker, marksOfVector } from './ownership.ts';
import type { VectorActions } from './vector-actions.ts';
import { diffVector } from './vector-diff.ts';

/** How each safe action of the vector index is done. */
export const vectorExecutors = executorsFor();

function executorsFor(made_by?: string): Executors<VectorActions, VectorIndex> {
  return {
    'ensure-class': (index, { spec }) => index.ensureClass(spec, made_by === undefined ? {} : { made_by }),
    'add-properties': (index, { class_name, properties }) => index.ensureProperties(class_name, properties),
  };
}

/** The vector index as a component of the environment. Reads nothing when the profile names no class. `maker` keeps what it makes. */
export function vectorComponent(index: VectorIndex, maker?: BackendMaker): EnvironmentComponent {
  const executors = executorsFor(maker?.made_by);
  return {
    component: 'vector',
    backend: index.backend.kind,
    ...(index.capabilities.shared ? { shared_identity: index.backend.identity } : {}),
    async plan({ vector: desired }: Partial<EnvironmentProfile>) {
      const names = (desired?.classes ?? []).map(({ name }) => name);
      const actual = names.length === 0 ? [] : await index.readClasses(names);
      const actions = diffVector(desired, actual, index.capabilities);
      return plan<VectorActions, VectorIndex>(actions, executors, index, async (action) => maker?.keep(marksOfVector(action)));
    },
  };
}
