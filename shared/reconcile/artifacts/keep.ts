/** One version of a service that had an artifact here. */
export interface ArtifactUse {
  readonly service: string;
  readonly version: string;
  readonly sha256: string;
}

/** How many versions of each service a node keeps, so that a roll back needs no network. */
export const KEPT_VERSIONS = 3;

/**
 * Notes a use as the newest one of its service. Older ones than the kept are forgotten, but for what still runs.
 */
export function noteUse(
  uses: readonly ArtifactUse[],
  use: ArtifactUse,
  running: readonly { readonly name: string; readonly version: string }[],
): readonly ArtifactUse[] {
  const seen = new Map<string, number>();
  return [use, ...uses.filter((one) => !isSame(one, use))].filter(({ service, version }) => {
    const newer = seen.get(service) ?? 0;
    seen.set(service, newer + 1);
    return newer < KEPT_VERSIONS || running.some((one) => one.name === service && one.version === version);
  });
}

/** One artifact may be several versions of a service: it counts once. */
function isSame(a: ArtifactUse, b: ArtifactUse): boolean {
  return a.service === b.service && a.sha256 === b.sha256;
}

/** Which artifacts must stay: those that are noted, and all that the held plan names. */
export function keptArtifacts(
  uses: readonly ArtifactUse[],
  planned: readonly { readonly artifact?: { readonly sha256: string } | undefined }[],
): ReadonlySet<string> {
  return new Set([...uses.map(({ sha256 }) => sha256), ...planned.flatMap(({ artifact }) => artifact?.sha256 ?? [])]);
}
