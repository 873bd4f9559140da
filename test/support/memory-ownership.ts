import { canonicalJson } from '../../shared/contract/canonical.ts';
import { keyOfMade, type Made } from '../../shared/contract/made.ts';
import type { BackendName, Ownership } from '../../shared/ports/ownership.ts';

/** The record of what a node made, in memory. */
export function memoryOwnership(): Ownership {
  const backends = new Map<string, Map<string, Made>>();
  const of = ({ component, identity }: BackendName) => {
    const name = JSON.stringify([component, identity]);
    const found = backends.get(name) ?? new Map<string, Made>();
    backends.set(name, found);
    return found;
  };
  return {
    async note(backend, made) {
      for (const one of made) of(backend).set(keyOfMade(one), one);
    },
    async renew(backend, changes) {
      for (const { from, to } of changes) {
        const noted = of(backend).get(keyOfMade(to));
        if (noted !== undefined && canonicalJson(noted) === canonicalJson(from)) of(backend).set(keyOfMade(to), to);
      }
    },
    list: async (backend) => [...of(backend).values()],
    async forget(backend, made) {
      for (const one of made) of(backend).delete(keyOfMade(one));
    },
    close: async () => undefined,
  };
}
