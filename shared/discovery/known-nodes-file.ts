import * as z from 'zod';
import { documentHash } from '../contract/canonical.ts';
import { Id, Sha256 } from '../contract/ids.ts';
import { type FileDeps, readJsonFile, setAside, writeJsonFile } from './json-file.ts';

/** Of the data directory of a node that has led without the fleet key. */
export const KNOWN_NODES_FILE = 'known-nodes.json';

/** A node by its credential. */
export interface KnownNode {
  readonly node_id: string;
  /** Milliseconds since the Unix epoch; absent: the credential has no end of its own. */
  readonly expires_at?: number;
}

/** Such a one, as the file has it. */
export interface StoredNode extends KnownNode {
  /** Of the credential, which itself is nowhere. */
  readonly sha256: string;
  /** One that has ended is of no use: nobody proves it, and its node has another one every few minutes. */
  readonly is_jwt?: true;
}

const Nodes = z.object({
  fleet: Id,
  /** The one that was told last stands last. */
  nodes: z.array(z.object({ sha256: Sha256, node_id: Id, expires_at: z.number().int().optional(), is_jwt: z.literal(true).optional() })),
});
type Nodes = z.infer<typeof Nodes>;

const File = z.object({ sha256: z.string(), known: Nodes });

/** Empty where there is none, where it is of another fleet, and where it can't be used: a bit that turned must not make one node another. */
export async function readKnownNodes(deps: FileDeps, fleet: string): Promise<readonly StoredNode[]> {
  const file = await readJsonFile(deps, KNOWN_NODES_FILE, File);
  if (file === undefined || file.known.fleet !== fleet) return [];
  if ((await documentHash(file.known).catch(() => '')) !== file.sha256) {
    await setAside(deps, KNOWN_NODES_FILE, 'its hash does not match its content');
    return [];
  }
  return file.known.nodes.map(({ expires_at, is_jwt, ...one }) => ({
    ...one,
    ...(expires_at === undefined ? {} : { expires_at }),
    ...(is_jwt === undefined ? {} : { is_jwt }),
  }));
}

/** Replaces it whole, mode 0600. A disk that refuses is told in the log. */
export async function writeKnownNodes(deps: FileDeps, known: Nodes): Promise<void> {
  await writeJsonFile(deps, KNOWN_NODES_FILE, { sha256: await documentHash(known), known });
}
