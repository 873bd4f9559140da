import * as z from 'zod';
import { Sha256 } from '../../shared/contract/ids.ts';
import { type FileDeps, readJsonFile, writeJsonFile } from '../../shared/discovery/json-file.ts';
import type { ArtifactUse } from '../../shared/reconcile/artifacts/keep.ts';

const FILE = 'artifacts.json';
const UsesFile = z.object({
  uses: z.array(z.object({ service: z.string(), version: z.string(), sha256: Sha256 })),
  fetched: z.array(Sha256),
});

/** What this node remembers of its artifacts, in memory and in `artifacts.json`. */
export interface Uses {
  readonly list: readonly ArtifactUse[];
  /** In the artifact store only because this node needed them: it may drop them again. */
  readonly fetched: ReadonlySet<string>;
  save(list: readonly ArtifactUse[], fetched: ReadonlySet<string>): Promise<void>;
}

export async function openUses(deps: FileDeps): Promise<Uses> {
  const kept = await readJsonFile(deps, FILE, UsesFile);
  let list: readonly ArtifactUse[] = kept?.uses ?? [];
  let fetched: ReadonlySet<string> = new Set(kept?.fetched);
  let written = JSON.stringify([list, [...fetched]]);
  return {
    get list() {
      return list;
    },
    get fetched() {
      return fetched;
    },
    async save(newList, newFetched) {
      [list, fetched] = [newList, newFetched];
      const now = JSON.stringify([list, [...fetched]]);
      if (now !== written && (await writeJsonFile(deps, FILE, { uses: list, fetched: [...fetched] }))) written = now;
    },
  };
}
