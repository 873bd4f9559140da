import type { Report } from './crew.ts';

/** What many seeds add up to. */
export class Tally {
  seeds = 0;
  readonly #seconds: number;
  readonly #began = performance.now();
  readonly #faults = new Map<string, number>();
  readonly #covered = new Map<string, number>();
  #events = 0;

  constructor(seconds: number) {
    this.#seconds = seconds;
  }

  add({ faults, covered, events }: Report): void {
    this.seeds += 1;
    this.#events += events;
    count(this.#faults, faults);
    count(this.#covered, covered);
  }

  render(): string {
    const took = (performance.now() - this.#began) / 1000;
    return [
      'faults injected',
      ...table(this.#faults),
      'states and ways covered',
      ...table(this.#covered),
      `${this.seeds} seeds in ${took.toFixed(1)} s: ${(this.seeds / took).toFixed(2)} seeds per second,`,
      `${Math.round((this.seeds * this.#seconds) / took)} simulated seconds per second, ${Math.round(this.#events / Math.max(1, this.seeds))} events a seed`,
    ].join('\n');
  }
}

function count(sums: Map<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, number] of Object.entries(counts)) sums.set(name, (sums.get(name) ?? 0) + number);
}

function table(sums: ReadonlyMap<string, number>): string[] {
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, number]) => `${String(number).padStart(9)}  ${name}`);
}
