import type { PlannedService, ServiceHealth } from '../../contract/plan.ts';
import type { Clock } from '../../ports/clock.ts';
import type { HealthCheck, ProbeResult } from '../../ports/health-probe.ts';

/** A starting service is asked soon and then ever more slowly: it delays the next one by at most a quarter of what it took itself. */
const FIRST_PROBE_MS = 20;
const START_PROBE_SHARE = 0.25;
const SLOWEST_START_PROBE_MS = 1_000;
/** A service without a check counts as running once it has lived this long. */
export const SETTLE_MS = 250;
/** After its grace a service that fails this many checks in a row is restarted. */
export const MAX_MISSES = 3;
/** How often a service without a check is looked at again, in case a new plan gives it one. */
const NO_CHECK_INTERVAL_MS = 5_000;

export interface HealthWatch {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Read at each turn: a new plan may change the check without a restart. */
  readonly service: () => PlannedService;
  readonly probe: (check: HealthCheck, timeout_ms: number) => Promise<ProbeResult>;
  readonly onHealth: (state: 'starting' | 'running' | 'unhealthy', detail: string) => void;
}

/**
 * Follows the health of one process. Resolves with the reason when it has to be restarted, with an
 * empty text when `signal` aborts.
 */
export async function watchHealth(watch: HealthWatch): Promise<string> {
  const { clock, signal, onHealth } = watch;
  const since = clock.monotonic();
  let was_healthy = false;
  let misses = 0;
  let wait_ms = watch.service().health === undefined ? SETTLE_MS : FIRST_PROBE_MS;
  for (;;) {
    await clock.sleep(wait_ms, signal);
    const { healthy, detail } = signal.aborted ? { healthy: false, detail: '' } : await checkOnce(watch);
    if (signal.aborted) return '';
    const { health } = watch.service();
    const left_ms = since + (health?.grace_seconds ?? 0) * 1_000 - clock.monotonic();
    was_healthy ||= healthy;
    if (!was_healthy && left_ms > 0) {
      onHealth('starting', detail);
      const lived_ms = clock.monotonic() - since;
      wait_ms = Math.min(Math.max(FIRST_PROBE_MS, lived_ms * START_PROBE_SHARE), left_ms, intervalMs(health), SLOWEST_START_PROBE_MS);
      continue;
    }
    misses = healthy ? 0 : misses + 1;
    onHealth(healthy ? 'running' : 'unhealthy', detail);
    if (misses >= MAX_MISSES) return `failed its health check ${misses} times in a row: ${detail}`;
    wait_ms = intervalMs(health);
  }
}

/** Ends with the abort also while a check still waits for its answer. */
async function checkOnce({ service, probe, signal }: HealthWatch): Promise<ProbeResult> {
  const { health } = service();
  if (health === undefined) return { healthy: true, detail: '' };
  const aborted = Promise.withResolvers<ProbeResult>();
  const onAbort = () => aborted.resolve({ healthy: false, detail: '' });
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([probe(toCheck(health), health.timeout_seconds * 1_000), aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The schema lets exactly one of the three through. */
function toCheck({ http, tcp, command }: ServiceHealth): HealthCheck {
  if (http !== undefined) return { http };
  if (tcp !== undefined) return { tcp };
  return { command: command ?? [] };
}

function intervalMs(health: ServiceHealth | undefined): number {
  return health === undefined ? NO_CHECK_INTERVAL_MS : health.interval_seconds * 1_000;
}
