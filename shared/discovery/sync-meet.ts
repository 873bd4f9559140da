import { ApiError, type Client } from '../client.ts';
import type { DocumentKind, History, OfferOutcome } from '../contract/document.ts';
import type { DocumentVerifier } from '../contract/fleet-keys.ts';
import type { NodeContext } from './context.ts';
import { push, pushEmergencies } from './sync.ts';

/** The tags of two histories when both had the same versions. */
export interface Seen {
  readonly ours: string | undefined;
  readonly theirs: string | undefined;
}

export interface Meeting {
  readonly own: Client;
  readonly peer: Client;
  readonly kind: DocumentKind;
  /** What both had when they last were the same, by URL and kind. */
  readonly seen: Map<string, Seen>;
}

/** What came of the own versions there, and of those from there here; undefined where nothing was missing. */
export interface Met {
  readonly up: OfferOutcome | undefined;
  readonly down: OfferOutcome | undefined;
  /** How many emergency versions of the site were news to the other side, and here. */
  readonly emergencies: { readonly up: number; readonly down: number };
}

const NOTHING_MET: Met = { up: undefined, down: undefined, emergencies: { up: 0, down: 0 } };

/**
 * Own versions to the other side, which decides; then its versions here. One small call there where nothing differs. Rejects
 * as the calls do, and with `RefusedError`.
 */
export async function meet(node: NodeContext, { own, peer, kind, seen }: Meeting): Promise<Met> {
  const { config, fleetKeys } = node.deps;
  const common = { kind, site: config.site, trusts: trustIn(fleetKeys.documents) };
  const { site } = config;
  const name = `${peer.url} ${kind}`;
  const ours = await own.history(kind, site);
  const last = seen.get(name);
  const theirs = await peer.changedHistory(kind, last !== undefined && last.ours === ours.etag ? last.theirs : ours.etag, site);
  if (theirs.body === undefined) return NOTHING_MET;
  const up = await push(own, peer, { ...common, ours: ours.body, theirs: theirs.body });
  const after = up === undefined ? { body: theirs.body, etag: theirs.etag } : await peer.history(kind, site);
  const mirrored = { ...common, decider: 'sender', ours: after.body, theirs: ours.body } as const;
  const down = await believed(peer.url, push(peer, own, mirrored));
  tell(node, kind, up, after.body);
  if (down === 'adopted') node.deps.log.info(`the ${kind} of ${peer.url} is kept here, too`, { generation: currentOf(after.body) });
  const emergencies = {
    up: await pushEmergencies(own, peer, { ...common, ours: ours.body, theirs: theirs.body }),
    down: await believed(peer.url, pushEmergencies(peer, own, { ...common, ours: theirs.body, theirs: ours.body })),
  };
  const theirsNow = emergencies.up > 0 ? await peer.history(kind, site) : after;
  seen.set(name, { ours: (await own.history(kind, site)).etag, theirs: theirsNow.etag });
  return { up, down, emergencies };
}

/** What this node can verify. */
function trustIn({ key_id, others = [] }: DocumentVerifier): (id: string) => boolean {
  const known = new Set([key_id, ...others.map((one) => one.key_id)]);
  return (id) => known.has(id);
}

/** The control plane has a version that this node's own Supervisor does not believe. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/** Names what a mirrored version was refused for. */
async function believed<T>(url: string, taking: Promise<T>): Promise<T> {
  try {
    return await taking;
  } catch (error) {
    if (!(error instanceof ApiError) || !['invalid_body', 'too_large'].includes(error.problem.code)) throw error;
    throw new RefusedError(`a version that ${url} has can't be believed: ${error.problem.detail}`, { cause: error });
  }
}

function tell({ deps }: NodeContext, kind: DocumentKind, outcome: OfferOutcome | undefined, { versions }: History): void {
  if (outcome !== 'republished' && outcome !== 'conflict') return;
  const open = versions.filter((one) => one.conflict).map(({ generation }) => generation);
  if (open.length === 0) return;
  deps.log.warn(`the ${kind} was published on both sides of a partition; \`bootplane conflicts\` shows what lost`, { generations: open });
}

function currentOf({ versions }: History): number | undefined {
  return versions.find((one) => one.current)?.generation;
}
