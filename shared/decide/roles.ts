import type { Role } from '../contract/ids.ts';

/** A node that says so at registration carries others' traffic. */
export const PROXY_CAPABILITY = 'proxy';

export interface RoleCandidate {
  readonly node_id: string;
  readonly capabilities: readonly string[];
}

/** The role of a node: it leads when it holds its site's lease, else it is a proxy if it can be, else a worker. */
export function roleOf(node: RoleCandidate, leader_node_id: string | undefined): Role {
  if (node.node_id === leader_node_id) return 'leader';
  return node.capabilities.includes(PROXY_CAPABILITY) ? 'proxy' : 'worker';
}
