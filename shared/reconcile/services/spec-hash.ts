import { canonicalJson, sha256Hex } from '../../contract/canonical.ts';
import type { PlannedService } from '../../contract/plan.ts';

/**
 * Names what a process was started from: SHA-256 (hex) of the canonical JSON of name, version,
 * command, env, artifact and user. Placement, health and stop times are left out, because a change of
 * those needs no restart; so is what the node adds to the environment, because a new address must not
 * restart a fleet.
 */
export function serviceSpecHash({ name, version, command, env, artifact, user }: PlannedService): Promise<string> {
  const optional = { ...(artifact !== undefined && { artifact }), ...(user !== undefined && { user }) };
  return sha256Hex(canonicalJson({ name, version, command, env, ...optional }));
}
