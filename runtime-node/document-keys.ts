import * as z from 'zod';
import { deriveFleetKeys, type FleetKeys, fleetOfKey } from '../shared/contract/fleet-keys.ts';
import { Id } from '../shared/contract/ids.ts';
import { type FileDeps, readJsonFile, writeJsonFile } from '../shared/discovery/json-file.ts';

/**
 * Names the public keys of the documents that this node took. Nothing in it is secret. It is what tells documents of before
 * a fleet key was replaced from those of another fleet, so that a node with the new key starts what it ran also while nobody
 * can send it what is signed anew.
 */
export const DOCUMENT_KEYS_FILE = 'document-keys.json';

/** Keys of documents that were signed before are kept for so many replaced fleet keys, as at a cloud. */
const RETIRED = 16;

const Keys = z.object({
  /** Of the fleet key that the node was started with last. */
  current: z.string(),
  /** Of the fleet keys that it has replaced, the newest first. */
  retired: z.array(z.string()).max(RETIRED),
});
const DocumentKeys = Keys.extend({
  fleet: Id,
  /** How it was before `current`, where nobody said whether that is of the same fleet: the key may be a wrong one. */
  before: Keys.optional(),
});
type DocumentKeys = z.infer<typeof DocumentKeys>;

/**
 * The keys of a fleet with what is known of those that its fleet key has replaced, and notes them for the next start. A new
 * fleet key is known to be of the same fleet by the name in it; of one that names none a person says so (`bootplane join
 * --same-fleet`).
 */
export async function withRetiredKeys(deps: FileDeps, keys: FleetKeys, fleetKey: string): Promise<FleetKeys> {
  const known = await readJsonFile(deps, DOCUMENT_KEYS_FILE, DocumentKeys);
  const now = advance(known, { keys, isSameFleet: fleetOfKey(fleetKey) === keys.fleet });
  if (now !== known) {
    // The node has to start where its disk is full too, and need not wait for a slow one.
    void writeJsonFile(deps, DOCUMENT_KEYS_FILE, now);
    tell(deps, known, now);
  }
  return now.retired.length === 0 ? keys : { ...keys, retired_document_keys: now.retired };
}

interface Change {
  readonly keys: FleetKeys;
  readonly isSameFleet: boolean;
}

/** The very same object when nothing changes. */
function advance(known: DocumentKeys | undefined, { keys: { fleet, documents }, isSameFleet }: Change): DocumentKeys {
  const current = documents.public_key;
  if (known === undefined || known.fleet !== fleet) return { fleet, current, retired: [] };
  const { before } = known;
  if (known.current === current && (!isSameFleet || before === undefined)) return known;
  if (isSameFleet) return { fleet, current, retired: retire(current, [known, ...(before === undefined ? [] : [before])]) };
  if (before?.current === current) return { fleet, ...before };
  return { fleet, current, retired: [], before: before ?? { current: known.current, retired: known.retired } };
}

function retire(current: string, known: readonly z.infer<typeof Keys>[]): string[] {
  const all = new Set(known.flatMap((keys) => [keys.current, ...keys.retired]));
  all.delete(current);
  return [...all].slice(0, RETIRED);
}

function tell({ log }: FileDeps, known: DocumentKeys | undefined, now: DocumentKeys): void {
  if (known?.fleet !== now.fleet || now.retired.length === 0) return;
  log.info('the fleet key is a new one: what is cached under the one before is used until it comes signed anew', { fleet: now.fleet });
}

export interface KeyReplacement {
  readonly fleet: string;
  /** Absent: it was not in the data directory, and the node has noted it. */
  readonly old?: string | undefined;
  readonly next: string;
}

/** Notes that `next` is a new key of the same fleet. False when nothing is known of a key before it. */
export async function noteReplacement(deps: FileDeps, { fleet, old, next }: KeyReplacement): Promise<boolean> {
  const found = await readJsonFile(deps, DOCUMENT_KEYS_FILE, DocumentKeys);
  const known = old === undefined ? found : advance(found, { keys: await deriveFleetKeys(fleet, old), isSameFleet: true });
  if (known === undefined || known.fleet !== fleet) return false;
  const now = advance(known, { keys: await deriveFleetKeys(fleet, next), isSameFleet: true });
  if (now.retired.length === 0) return false;
  return now === found || writeJsonFile(deps, DOCUMENT_KEYS_FILE, now);
}
