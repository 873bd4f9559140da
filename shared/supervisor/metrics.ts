/** Counters of this process, in the Prometheus text format, version 0.0.4. */
export interface Metrics {
  count(name: CounterName, labels?: Readonly<Record<string, string>>, by?: number): void;
  /** All counters as exposition text. */
  render(): string;
}

const HELP = {
  bootplane_http_requests_total: 'Answered requests by route and status.',
  bootplane_heartbeats_total: 'Accepted node heartbeats, alone and in batches.',
  bootplane_claims_total: 'Claims of leadership by outcome.',
  bootplane_events_total: 'Events that this process wrote, by type.',
} as const;
export type CounterName = keyof typeof HELP;

export function createMetrics(): Metrics {
  const counters = new Map<CounterName, Map<string, number>>();
  return {
    count: (name, labels = {}, by = 1) => {
      const series = counters.get(name) ?? new Map<string, number>();
      counters.set(name, series);
      const key = renderLabels(labels);
      series.set(key, (series.get(key) ?? 0) + by);
    },
    render: () => [...counters].map(([name, series]) => renderMetric(name, 'counter', HELP[name], series)).join(''),
  };
}

export function renderMetric(name: string, type: 'counter' | 'gauge', help: string, series: Iterable<readonly [string, number]>): string {
  const lines = Array.from(series, ([labels, value]) => `${name}${labels} ${value}\n`).join('');
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines}`;
}

/** `{name="value"}`, or nothing. Backslash, quote and line feed are escaped as the format asks. */
export function renderLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
