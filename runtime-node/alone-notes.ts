import * as z from 'zod';
import { EnvironmentComponentName } from '../shared/contract/backlog.ts';
import { type FileDeps, readJsonFile, writeJsonFile } from '../shared/discovery/json-file.ts';

const FILE = 'embedded-alone.json';
const AloneFile = z.object({ components: z.array(EnvironmentComponentName) });

/** Which components worked on their embedded default alone after they had an external once: what was written then is not in the backlog. */
export interface AloneNotes {
  has(component: EnvironmentComponentName): Promise<boolean>;
  add(components: readonly EnvironmentComponentName[]): Promise<void>;
  /** All that was written then is in the backlog now. */
  forget(component: EnvironmentComponentName): Promise<void>;
}

/** In `embedded-alone.json`. Never rejects: what can't be written is told in the log. */
export function createAloneNotes(deps: FileDeps): AloneNotes {
  let last: Promise<unknown> = Promise.resolve();
  const read = async () => (await readJsonFile(deps, FILE, AloneFile))?.components ?? [];
  const change = (to: (components: readonly EnvironmentComponentName[]) => EnvironmentComponentName[]) => {
    const changed = last.then(async () => {
      const before = await read();
      const components = to(before);
      if (components.length !== before.length) await writeJsonFile(deps, FILE, { components });
    });
    last = changed;
    return changed;
  };
  return {
    has: async (component) => (await read()).includes(component),
    add: (more) => change((before) => [...new Set([...before, ...more])]),
    forget: (component) => change((before) => before.filter((one) => one !== component)),
  };
}
