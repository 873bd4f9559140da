import { type FleetKeys, isKeyHolder, type NodeKeys } from '../../contract/fleet-keys.ts';
import { ProblemError } from '../problem.ts';

/** Keys that sign and derive. Throws `forbidden` on a node that has joined without the fleet key: `what` it can't do, in words. */
export function requireKeyHolder(keys: NodeKeys, what: string): FleetKeys {
  if (isKeyHolder(keys)) return keys;
  throw new ProblemError('forbidden', `this node has joined without the fleet key and ${what}: ask the leader of its site, or the cloud`);
}
