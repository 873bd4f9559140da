import * as z from 'zod';
import { Count } from '../contract/ids.ts';
import { isEpochJump } from '../decide/leadership.ts';
import { type FileDeps, readJsonFile, writeJsonFile } from './json-file.ts';
import { recall } from './recall.ts';

/** The highest epoch that this node has ever seen, kept over restarts, so that a claim of its own goes above it. */
export interface EpochMemory {
  readonly highest: number;
  /** Resolves when it is on disk. */
  note(epoch: number | undefined): Promise<void>;
}

const EPOCH_FILE = 'epoch.json';
const EpochFile = z.object({ epoch_seen: Count });

export async function openEpochMemory(deps: FileDeps): Promise<EpochMemory> {
  const [kept, recalled] = [await readJsonFile(deps, EPOCH_FILE, EpochFile), await recall(deps)];
  // Below what others have seen of this node it would be refused as stale.
  const [known, told] = [kept?.epoch_seen ?? 0, recalled.epoch ?? 0];
  let highest = isEpochJump(known, told) ? known : Math.max(known, told);
  return {
    get highest() {
      return highest;
    },
    async note(epoch) {
      if (epoch === undefined || epoch <= highest) return;
      if (isEpochJump(highest, epoch)) {
        deps.log.warn(`an answer names epoch ${epoch}, too far above ${highest} to be true; it is not remembered`, { epoch });
        return;
      }
      highest = epoch;
      await writeJsonFile(deps, EPOCH_FILE, { epoch_seen: highest });
    },
  };
}
