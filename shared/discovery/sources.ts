import type { Fetch } from '../client.ts';
import type { NodeContext } from './context.ts';
import { challengeNode, isProvedCloud } from './prove.ts';
import type { ProvedSource } from './types.ts';

/** For one challenge, milliseconds. */
const PROOF_TIMEOUT_MS = 1000;

/**
 * Who may have what this node lacks: the control plane that it follows, then its successors, its leader and other
 * nodes that were met before. Whoever was not located by this node answers a fresh challenge before
 * any credential is sent; that is done only when those before it could not help.
 */
export async function* sourcesOf(node: NodeContext, signal: AbortSignal): AsyncGenerator<ProvedSource> {
  const { deps, standing, credential } = node;
  const { located } = standing;
  if (located !== undefined && located.source !== 'self') yield { url: located.url, fetch: withCredential(located.fetch, credential) };
  const asked = new Set([originOf(deps.config.advertise_url()), originOf(located?.url)]);
  const others = othersOf(node).filter((origin) => !asked.has(origin) && asked.add(origin));
  // All at once: several that are gone would each take the whole time one after the other.
  const challenges = others.map((url) => challengeNode({ deps, signal, timeout_ms: PROOF_TIMEOUT_MS }, url));
  for (const challenge of challenges) {
    const answer = await challenge;
    if (!('proved' in answer) || answer.proved.node_id === deps.identity.node_id) continue;
    yield { url: answer.proved.url, fetch: withCredential(deps.fetch, credential) };
  }
}

/** The cloud, for what nobody of the site has: https proves it. Nothing where it was asked already, as the one that is followed. */
export function cloudSource({ deps, standing, credential }: NodeContext): ProvedSource | undefined {
  const { cloud_url: url } = deps.config;
  if (!isProvedCloud(url)) return undefined;
  if (standing.located?.source !== 'self' && originOf(standing.located?.url) === originOf(url)) return undefined;
  return { url, fetch: withCredential(deps.fetch, credential) };
}

function othersOf({ standing, peers, deps }: NodeContext): string[] {
  const { located, answer } = standing;
  const urls = [
    located?.leader?.leader_url,
    ...(answer?.successors ?? []).filter(({ node_id }) => node_id !== deps.identity.node_id).map(({ url }) => url),
    ...peers.list().map(({ url }) => url),
  ];
  return urls.map(originOf).filter((origin) => origin !== undefined);
}

function originOf(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).origin : undefined;
}

function withCredential(fetch: Fetch, credential: string): Fetch {
  return (request) => {
    const headers = new Headers(request.headers);
    headers.set('authorization', `Bearer ${credential}`);
    return fetch(new Request(request, { headers }));
  };
}
