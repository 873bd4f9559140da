/** One health check of a service, as the Cluster Plan writes it (exactly one of the three). */
export type HealthCheck = { readonly http: string } | { readonly tcp: string } | { readonly command: readonly string[] };

export interface HealthProbe {
  /** Never rejects: what goes wrong is the `detail` of an unhealthy answer, fit to show to a person. */
  probe(check: HealthCheck, options: ProbeOptions): Promise<ProbeResult>;
}

export interface ProbeOptions {
  readonly timeout_ms: number;
  /** The environment of a command check: that of the service. */
  readonly env: Readonly<Record<string, string>>;
  /** The service that is checked: a command check runs in its folder. */
  readonly service: string;
  /** As in `ProcessSpec`: a command check has no more rights than the service itself. */
  readonly cwd?: string;
  readonly user?: string;
}

export interface ProbeResult {
  readonly healthy: boolean;
  readonly detail: string;
}
