import type { Context } from '../context.ts';
import { reissueDocuments } from './reissue.ts';

/** Fleets that are looked at in one page. */
const PAGE = 100;

/** Keys that ended a month ago are dropped. */
export function dropEndedKeys({ keys }: Context): Promise<void> {
  return keys.trim();
}

/** Somebody may have published under the old key after it was replaced: an isolate learns of that within a minute. */
export async function reissueReplaced(context: Context): Promise<void> {
  const { registry } = context.options;
  if (registry === undefined) return;
  for (let after: string | undefined = ''; after !== undefined; ) {
    const rows = await registry.list(after, PAGE);
    for (const { fleet, overlap_ms } of rows) {
      const keys = overlap_ms === null ? undefined : await registry.keysOf(fleet);
      if (keys !== undefined) await reissueDocuments(context, keys);
    }
    after = rows.length < PAGE ? undefined : rows.at(-1)?.fleet;
  }
}
