import { ApiError, type Client, UnreachableError } from '../client.ts';
import type { DocumentKind } from '../contract/document.ts';
import { isSameVersion, whyNotOfSite, whyOlder } from '../decide/emergency.ts';
import type { Held } from './documents.ts';
import type { DiscoveryDeps } from './types.ts';
import { verifyWire } from './verify.ts';

/**
 * How one look at a published document ended. `missing` is a refusal only for a node that holds one. `behind`: what is
 * published must not replace what is held.
 */
export type Fetched<K extends DocumentKind> =
  | { readonly outcome: 'current' }
  | { readonly outcome: 'accepted'; readonly held: Held<K> }
  | { readonly outcome: 'missing' }
  | { readonly outcome: 'behind'; readonly reason: string; readonly generation: number; readonly hash: string }
  | { readonly outcome: 'refused'; readonly reason: string };

export interface DocumentSource<K extends DocumentKind> {
  readonly client: Client;
  readonly kind: K;
  readonly held: Held<K> | undefined;
}

type Deps = Pick<DiscoveryDeps, 'config' | 'fleetKeys'>;

/**
 * Fetches a document if it is another than the held one, and decides whether it may replace that.
 * Rejects when the Supervisor does not answer or does not know this node; then nothing was learnt.
 */
export async function fetchDocument<K extends DocumentKind>(deps: Deps, source: DocumentSource<K>): Promise<Fetched<K>> {
  const { client, kind, held } = source;
  try {
    const { status, body, etag } = await client.document(kind, held?.etag, deps.config.site);
    if (status === 304) return { outcome: 'current' };
    return await judge(deps, source, body, etag);
  } catch (error) {
    const refused = whyUnusable(error);
    if (refused === undefined) throw error;
    return refused;
  }
}

async function judge<K extends DocumentKind>(
  deps: Deps,
  { kind, held }: DocumentSource<K>,
  wire: Record<string, unknown> | undefined,
  etag: string | undefined,
): Promise<Fetched<K>> {
  if (wire === undefined) return { outcome: 'refused', reason: 'it is empty' };
  const verdict = await verifyWire(kind, deps.config.fleet, deps.fleetKeys.documents, wire);
  if ('refused' in verdict) return { outcome: 'refused', reason: verdict.refused };
  const { meta } = verdict.verified.document;
  const { generation, hash } = meta;
  const elsewhere = whyNotOfSite(meta, deps.config.site);
  if (elsewhere !== undefined) return { outcome: 'refused', reason: elsewhere };
  if (held !== undefined && isSameVersion(held.document.meta, meta)) return { outcome: 'current' };
  const older = whyOlder(held?.document.meta, meta);
  if (older !== undefined) return { outcome: 'behind', reason: older, generation, hash };
  return { outcome: 'accepted', held: { ...verdict.verified, ...(etag === undefined ? {} : { etag }) } };
}

function whyUnusable(error: unknown): Fetched<never> | undefined {
  if (error instanceof UnreachableError && error.kind === 'not_understood') return { outcome: 'refused', reason: error.message };
  if (!(error instanceof ApiError)) return undefined;
  const { code, detail } = error.problem;
  if (code === 'no_plan' || code === 'no_profile') return { outcome: 'missing' };
  return code === 'storage_corrupt' ? { outcome: 'refused', reason: detail } : undefined;
}
