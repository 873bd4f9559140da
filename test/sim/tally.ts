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

  /** How far it has come, in a line. */
  progress(all: number): string {
    const left_minutes = (all - this.seeds) / (this.seeds / this.#took) / 60;
    return `${this.seeds} of ${all} seeds, ${this.#rate} a second, ${Math.ceil(left_minutes)} min left`;
  }

  render(): string {
    return [
      'faults injected',
      ...table(this.#faults),
      'states and ways covered',
      ...table(this.#covered),
      `${this.seeds} seeds in ${this.#took.toFixed(1)} s: ${this.#rate} seeds per second,`,
      `${Math.round((this.seeds * this.#seconds) / this.#took)} simulated seconds per second, ${Math.round(this.#events / Math.max(1, this.seeds))} events a seed`,
    ].join('\n');
  }

  /** Seconds. */
  get #took(): number {
    return (performance.now() - this.#began) / 1000;
  }

  get #rate(): string {
    return (this.seeds / this.#took).toFixed(2);
  }
}

function count(sums: Map<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, number] of Object.entries(counts)) sums.set(name, (sums.get(name) ?? 0) + number);
}

function table(sums: ReadonlyMap<string, number>): string[] {
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, number]) => `${String(number).padStart(9)}  ${name}`);
}
