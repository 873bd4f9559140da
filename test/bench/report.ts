/** One line of the bench. */
export interface Row {
  readonly what: string;
  readonly figure: string;
  /** Against what it is compared with, in the same run. */
  readonly ratio?: string;
  readonly goal?: string;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median of the ratios, round by round, with the smallest and the largest. */
export function ratio(ours: readonly number[], theirs: readonly number[]): string {
  const ratios = ours.map((value, index) => value / theirs[index]!);
  return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`;
}

/** A Markdown table, as `docs/performance.md` has it. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ what, figure, ratio = '', goal = '' }) => `| ${what} | ${figure} | ${ratio} | ${goal} |`);
  return ['| what | figure | ratio | goal |', '|---|---|---|---|', ...lines].join('\n');
}
