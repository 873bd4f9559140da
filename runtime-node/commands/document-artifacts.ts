import type { ArtifactClient } from '../../shared/artifact-client.ts';
import { ClusterPlan } from '../../shared/contract/plan.ts';
import { colorsFor, type Io } from './io.ts';

type Body = Record<string, unknown>;

/** All that is asked of a store of artifacts here. */
export type ArtifactLookup = Pick<ArtifactClient, 'size'>;

/**
 * One line for each artifact that a plan names anew and that neither the node that answers nor its leader stores. Another node may
 * have it, or it is pushed later: that keeps nobody from publishing. Nothing is said where nobody can tell.
 */
export async function warnOfArtifacts(io: Io, artifacts: ArtifactLookup, before: Body, after: Body): Promise<string[]> {
  const known = artifactsOf(before);
  const added = [...artifactsOf(after)].filter(([sha256]) => !known.has(sha256));
  const lines = await Promise.all(
    added.map(async ([sha256, names]) => ((await isMissing(artifacts, sha256)) ? [warning(sha256, names)] : [])),
  );
  return lines.flat().map(colorsFor(io).yellow);
}

/** The services by the artifact that they start from. */
function artifactsOf(body: Body): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { name, artifact } of ClusterPlan.safeParse(body).data?.services ?? [])
    if (artifact !== undefined) found.set(artifact.sha256, [...(found.get(artifact.sha256) ?? []), name]);
  return found;
}

async function isMissing(artifacts: ArtifactLookup, sha256: string): Promise<boolean> {
  try {
    return (await artifacts.size(sha256)) === undefined;
  } catch {
    return false;
  }
}

function warning(sha256: string, names: readonly string[]): string {
  const wait = names.length === 1 ? 'waits' : 'wait';
  return `The artifact ${sha256.slice(0, 12)} is not stored here: ${names.join(', ')} ${wait} until a node gives it, or for \`bootplane artifact push FILE\`.`;
}
