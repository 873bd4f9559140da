import * as z from 'zod';
import { HttpUrl, Id } from '../contract/ids.ts';
import { type FileDeps, readJsonFile, writeJsonFile } from './json-file.ts';

/** A node that was met before, to be asked again where multicast does not reach. */
export interface Peer {
  readonly url: string;
  readonly node_id?: string | undefined;
}

export interface Peers {
  /** The one met last comes first. */
  list(): readonly Peer[];
  /** Resolves when they are on disk. Of one node only the last address counts. */
  remember(met: readonly Peer[]): Promise<void>;
}

const PEERS_FILE = 'peers.json';
const MAX_PEERS = 64;
const PeersFile = z.object({ peers: z.array(z.object({ url: HttpUrl, node_id: Id.optional() })) });

/** Kept in `peers.json`, which is written only when an address comes or goes. */
export async function openPeers(deps: FileDeps, self: { readonly node_id: string; url(): string }): Promise<Peers> {
  let known: readonly Peer[] = (await readJsonFile(deps, PEERS_FILE, PeersFile))?.peers ?? [];
  let written = contentOf(known);
  return {
    list: () => known,
    async remember(met) {
      known = withMet(
        known,
        met.filter(({ node_id, url }) => node_id !== self.node_id && originOf(url) !== originOf(self.url())),
      );
      const content = contentOf(known);
      if (content === written) return;
      written = content;
      if (!(await writeJsonFile(deps, PEERS_FILE, { peers: known }))) written = '';
    },
  };
}

function withMet(known: readonly Peer[], met: readonly Peer[]): readonly Peer[] {
  const all = new Map<string, Peer>();
  const nodes = new Set<string>();
  for (const peer of [...met, ...known]) {
    const { node_id } = peer;
    const url = originOf(peer.url);
    if (url === undefined || all.has(url) || (node_id !== undefined && nodes.has(node_id)) || all.size >= MAX_PEERS) continue;
    all.set(url, { url, ...(node_id === undefined ? {} : { node_id }) });
    if (node_id !== undefined) nodes.add(node_id);
  }
  return [...all.values()];
}

function originOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).origin : undefined;
}

/** The order is not worth a write. */
function contentOf(peers: readonly Peer[]): string {
  return JSON.stringify(peers.map(({ url, node_id }) => [url, node_id]).sort());
}
