import type { Component, FileSetAside } from '../shared/contract/status.ts';
import type { Report } from '../shared/reconcile/types.ts';

/** The component that worked with a file. What belongs to the node itself is in its log and its health only. */
const COMPONENTS: readonly (readonly [RegExp, Component])[] = [
  [/^storage$/, 'storage'],
  [/^bus\.sqlite/, 'broker'],
  [/^vector\.sqlite/, 'vector'],
  [/^plan\.json$/, 'services'],
];

/** Makes an event of what was set aside, so that it is seen where the whole fleet is looked at. */
export function damageReporter(node_id: string, report: Report): (damage: FileSetAside) => void {
  return ({ file, why, kept_as, reason }) => {
    const component = COMPONENTS.find(([name]) => name.test(file))?.[1];
    if (component === undefined) return;
    const kept = kept_as === undefined ? '' : `; it is kept as ${kept_as}`;
    const message = `${file} could not be used: ${why}${kept}; a new one took its place`.slice(0, 4096);
    report({ node_id, component, action: `set-aside ${file}`, status: reason === undefined ? 'failed' : 'skipped', message });
  };
}
