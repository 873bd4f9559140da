import { d1Database } from '../../../functions/adapters/d1.ts';
import type { CountedDatabase, RowCounts } from '../row-counts.ts';

/** D1 as the Database port over a binding that adds up what D1 says of each statement. */
export function countingD1(d1: D1Database): CountedDatabase {
  const counts: RowCounts = { batches: 0, statements: 0, read: 0, written: 0 };
  const batch: D1Database['batch'] = async <T>(statements: D1PreparedStatement[]) => {
    const results = await d1.batch<T>(statements);
    counts.batches += 1;
    counts.statements += statements.length;
    for (const { meta } of results) {
      counts.read += meta.rows_read;
      counts.written += meta.rows_written;
    }
    return results;
  };
  const observed = new Proxy(d1, { get: (target, name) => (name === 'batch' ? batch : Reflect.get(target, name).bind(target)) });
  return { database: d1Database(observed), counts, reset: () => Object.assign(counts, { batches: 0, statements: 0, read: 0, written: 0 }) };
}
