/** Counters of this process, in the Prometheus text format, version 0.0.4. */
export interface Metrics {
  /** One series of a counter, to be kept by who counts often. */
  counter(name: CounterName, labels?: Readonly<Record<string, string>>): Counter;
  /** All counters as exposition text. */
  render(): string;
}

export interface Counter {
  add(by?: number): void;
}

const HELP = {
  bootplane_http_requests_total: 'Answered requests by route and status.',
  bootplane_heartbeats_total: 'Accepted node heartbeats, alone and in batches.',
  bootplane_claims_total: 'Claims of leadership by outcome.',
  bootplane_uplinks_total: 'What leaders told of their sites, by whether it was taken.',
  bootplane_events_total: 'Events that this process wrote, by type.',
  bootplane_overlay_published_total: 'Events of the log that the bus has taken from this process.',
  bootplane_overlay_dropped_total: 'Events of the log that will never be on the bus, by reason.',
} as const;
export type CounterName = keyof typeof HELP;

interface Series extends Counter {
  readonly value: number;
}

export function createMetrics(): Metrics {
  const counters = new Map<CounterName, Map<string, Series>>();
  return {
    counter: (name, labels = {}) => {
      const family = counters.get(name) ?? new Map<string, Series>();
      counters.set(name, family);
      const key = renderLabels(labels);
      const series = family.get(key) ?? createSeries();
      family.set(key, series);
      return series;
    },
    render: () =>
      Array.from(counters, ([name, family]) =>
        renderMetric(
          name,
          'counter',
          HELP[name],
          Array.from(family, ([labels, { value }]) => [labels, value]),
        ),
      ).join(''),
  };
}

function createSeries(): Series {
  let value = 0;
  return {
    add: (by = 1) => {
      value += by;
    },
    get value() {
      return value;
    },
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
