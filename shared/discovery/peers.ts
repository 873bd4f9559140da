import * as z from 'zod';
import { HttpUrl, Id } from '../contract/ids.ts';
import type { Clock } from '../ports/clock.ts';
import { type FileDeps, readJsonFile, writeJsonFile } from './json-file.ts';

/** A node that was met before, to be asked again where multicast does not reach. */
export interface Peer {
  readonly url: string;
  readonly node_id?: string | undefined;
}

export interface Peers {
  /** The one met last comes first. */
  list(): readonly Peer[];
  /** Those that proved themselves. Of one node only the last address counts. Resolves when what is due is on disk. */
  remember(met: readonly Peer[]): Promise<void>;
  /** One that only an advert tells of, which may be old: it replaces nobody. */
  hearOf(peer: Peer): Promise<void>;
}

const PEERS_FILE = 'peers.json';
const MAX_PEERS = 64;
/** With so many on disk the next node that comes or goes is not worth a write at once. */
const ENOUGH_PEERS = 8;
/** Then it is written this often at most, with the next change or look: in a large site somebody comes and goes all the time. */
const REWRITE_AFTER_MS = 60_000;
const PeersFile = z.object({ peers: z.array(z.object({ url: HttpUrl, node_id: Id.optional() })) });

/** Kept in `peers.json`, which is written only when an address comes or goes, and not for each one once it holds enough. */
export async function openPeers(
  deps: FileDeps & { readonly clock: Pick<Clock, 'monotonic'> },
  self: { readonly node_id: string; url(): string },
): Promise<Peers> {
  let known: readonly Peer[] = (await readJsonFile(deps, PEERS_FILE, PeersFile))?.peers ?? [];
  let written = { content: contentOf(known), count: 0, at: 0 };
  const isOther = ({ node_id, url }: Peer) => node_id !== self.node_id && originOf(url) !== originOf(self.url());
  const keep = async (next: readonly Peer[]) => {
    known = next;
    const content = contentOf(known);
    const at = deps.clock.monotonic();
    if (content === written.content || (written.count >= ENOUGH_PEERS && at - written.at < REWRITE_AFTER_MS)) return;
    written = { content, count: known.length, at };
    if (!(await writeJsonFile(deps, PEERS_FILE, { peers: known }))) written = { content: '', count: 0, at };
  };
  return {
    list: () => known,
    remember: (met) => keep(withMet(met.filter(isOther), known)),
    async hearOf(peer) {
      const isKnown = known.some(({ url, node_id }) => url === peer.url && node_id === peer.node_id);
      if (!isKnown && isOther(peer)) await keep(withMet(known, [peer]));
    },
  };
}

/** The first of each node and of each address, as many as are kept. */
function withMet(first: readonly Peer[], then: readonly Peer[]): readonly Peer[] {
  const all = new Map<string, Peer>();
  const nodes = new Set<string>();
  for (const peer of [...first, ...then]) {
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
