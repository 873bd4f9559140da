import type { LeaderFound, Proved } from './prove.ts';

/** Somebody to ask. Nothing about it is proved. */
export interface Candidate {
  /** An origin. */
  readonly url: string;
  readonly node_id?: string | undefined;
  /** The highest epoch that it says it knows. */
  readonly epoch?: number;
  /** How this node came to know it. */
  readonly via: 'mdns' | 'peer';
}

export interface Found extends Proved {
  readonly via: Candidate['via'];
}

export type FoundLeader = Found & { readonly leads: LeaderFound };

/** True for a node that leads, and is no copy of this one. */
export function leadsElsewhere(found: Found, node_id: string): found is FoundLeader {
  return found.leads !== undefined && found.node_id !== node_id;
}
