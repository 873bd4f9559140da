import type { Context } from './context.ts';
import { dropEndedKeys, reissueReplaced } from './identity/sweep.ts';
import { keepPace } from './pace.ts';
import { createSweepStore } from './store/sweep.ts';

/** One part of housekeeping. Bounded in what it does at once: what is left, the next run finds. */
type Part = (context: Context) => Promise<void>;

/** `often`: only the parts that cost next to nothing while there is nothing to do. */
export type SweepScope = 'all' | 'often';

const OFTEN: ReadonlySet<string> = new Set(['pace', 'events']);

/**
 * Housekeeping over all fleets of the database: all of it about once an hour or more often, and in between `often`. A part
 * that fails does not keep the others from running; then it rejects at the end with the first error.
 */
export function createSweep(
  context: Context,
  trimEvents: () => Promise<void> = () => trimAll(context),
): (scope?: SweepScope) => Promise<void> {
  const { clock, log } = context.options;
  const parts: Readonly<Record<string, Part>> = {
    pace: ({ options }) => keepPace(options),
    events: trimEvents,
    nodes: dropGoneNodes,
    keys: dropEndedKeys,
    documents: reissueReplaced,
  };
  return async (scope = 'all') => {
    // By a clock that has just come from 1970, everybody has been lost for fifty years.
    if (!clock.trusted()) return;
    const errors: unknown[] = [];
    for (const [name, part] of Object.entries(parts)) {
      if (scope === 'often' && !OFTEN.has(name)) continue;
      try {
        await part(context);
      } catch (error) {
        log.warn('a part of housekeeping failed; the next run tries it again', { part: name, error: String(error) });
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  };
}

function trimAll({ options, retention }: Context): Promise<void> {
  return createSweepStore(options.database, retention).trimEvents();
}

/** A node that comes back afterwards is told `unknown_node`, and registers as it did the first time. */
async function dropGoneNodes({ options, retention, announce }: Context): Promise<void> {
  const store = createSweepStore(options.database, retention);
  const gone = await store.goneNodes();
  if (gone.length === 0) return;
  const dropped = await store.dropNodes(gone);
  for (const { fleet, site, node_id, heard_at, reason } of dropped) {
    announce({ fleet, type: 'overlay.leave', site, node_id, data: { reason, dropped: true }, dedupe: `drop/${node_id}/${heard_at}` });
  }
  options.log.info('nodes that were gone for good were dropped from the registry', { nodes: dropped.length });
}
