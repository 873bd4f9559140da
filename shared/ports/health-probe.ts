/** One health check of a service, as the Cluster Plan writes it (exactly one of the three). */
export type HealthCheck = { readonly http: string } | { readonly tcp: string } | { readonly command: readonly string[] };

export interface HealthProbe {
  /** Never rejects: what goes wrong is the `detail` of an unhealthy answer, fit to show to a person. */
  probe(check: HealthCheck, options: { timeout_ms: number; env: Readonly<Record<string, string>> }): Promise<ProbeResult>;
}

export interface ProbeResult {
  readonly healthy: boolean;
  readonly detail: string;
}
