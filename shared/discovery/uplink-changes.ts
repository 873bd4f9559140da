import { MAX_UPLINK_ITEMS, type UplinkNode, type UplinkPage } from '../contract/uplink.ts';

/** What one call tells of nodes. */
export interface NodeChanges {
  readonly nodes: readonly UplinkNode[];
  readonly gone: readonly string[];
  /** False when more has changed than fits. */
  readonly isAll: boolean;
}

/** What the cloud was told of the nodes of a site, and what it has to be told yet. In memory alone: a new session begins from the start. */
export interface SiteChanges {
  /** Takes what the own Supervisor says now; `now_ms` is of the monotonic clock. */
  see(page: Pick<UplinkPage, 'nodes' | 'gone'>, now_ms: number): void;
  /** What has changed since it was told, as far as it fits into about `bytes`; one node at least. */
  next(bytes: number): NodeChanges;
  /** It was told, or it never can be: it comes again only after it has changed again. */
  settle(changes: Omit<NodeChanges, 'isAll'>): void;
  /** The cloud knows nothing. */
  forget(): void;
}

interface Known {
  /** What is told, without its ages: as long as this stays, nothing has changed. */
  readonly text: string;
  /** Undefined for a node that is gone. */
  readonly node: UplinkNode | undefined;
  /** When it registered, as it was first seen, and when it was seen, both by the monotonic clock. */
  readonly registered_at: number;
  readonly seen_at: number;
}

/** The ages that a Supervisor gives vary with the time that it takes to ask; a registration that is later by more is another one. */
const SAME_REGISTRATION_MS = 1000;
/** What one node may take of a message, bytes: half of what it has room for. */
const MAX_NODE_BYTES = 512 * 1024;
const MAX_KEPT_INCOMPATIBLE = 20;
const GONE = 'gone';

export function createSiteChanges(): SiteChanges {
  const known = new Map<string, Known>();
  const told = new Map<string, string>();
  return {
    see({ nodes, gone }, now_ms) {
      const seen = new Set<string>(gone);
      for (const node_id of gone) known.set(node_id, { text: GONE, node: undefined, registered_at: 0, seen_at: now_ms });
      for (const node of nodes) {
        seen.add(node.node_id);
        known.set(node.node_id, look(node, known.get(node.node_id), now_ms));
      }
      for (const [node_id, before] of known) {
        if (seen.has(node_id)) continue;
        const last = unheard(before, now_ms) ?? before;
        // A call that failed told nothing: it stays until the cloud has taken it.
        if (told.has(node_id) && told.get(node_id) !== last.text) known.set(node_id, last);
        else {
          known.delete(node_id);
          told.delete(node_id);
        }
      }
    },
    next(bytes) {
      const [nodes, gone]: [UplinkNode[], string[]] = [[], []];
      let used = 0;
      for (const [node_id, { text, node }] of known) {
        if (told.get(node_id) === text) continue;
        used += text.length;
        if (nodes.length + gone.length > 0 && (used > bytes || nodes.length + gone.length === MAX_UPLINK_ITEMS)) {
          return { nodes, gone, isAll: false };
        }
        if (node === undefined) gone.push(node_id);
        else nodes.push(node);
      }
      return { nodes, gone, isAll: true };
    },
    settle({ nodes, gone }) {
      for (const node_id of [...gone, ...nodes.map((node) => node.node_id)]) told.set(node_id, known.get(node_id)?.text ?? GONE);
    },
    forget: () => told.clear(),
  };
}

function look(given: UplinkNode, before: Known | undefined, now_ms: number): Known {
  const node = shortened(given);
  const { registered_ms, silent_ms, components = {}, ...content } = node;
  const at = now_ms - registered_ms;
  const isSame = before?.node !== undefined && at <= before.registered_at + SAME_REGISTRATION_MS;
  const registered_at = isSame ? before.registered_at : at;
  const states = Object.entries(components).map(([name, { age_ms: _, ...state }]) => [name, state]);
  return { text: JSON.stringify([content, states, registered_at, silent_ms === undefined]), node, registered_at, seen_at: now_ms };
}

/** It is not in the registry any more. Undefined where nothing is left to tell after what is known of it. */
function unheard({ node, text, registered_at, seen_at }: Known, now_ms: number): Known | undefined {
  if (node === undefined || node.silent_ms !== undefined) return undefined;
  return { text: `${text} unheard`, node: { ...node, silent_ms: Math.round(now_ms - seen_at) }, registered_at, seen_at };
}

/** What no message could carry is shortened: of what is incompatible, the first ones are enough. */
function shortened(node: UplinkNode): UplinkNode {
  const { components } = node;
  if (components === undefined || JSON.stringify(node).length <= MAX_NODE_BYTES) return node;
  const states = Object.entries(components).map(([name, state]) => [
    name,
    { ...state, incompatible: state.incompatible.slice(0, MAX_KEPT_INCOMPATIBLE) },
  ]);
  return { ...node, components: Object.fromEntries(states) };
}
