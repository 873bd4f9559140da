import type { Database } from '../../shared/ports/database.ts';

/** What D1 has counted since the last `reset`, as it bills it: index rows too. */
export interface RowCounts {
  batches: number;
  statements: number;
  read: number;
  written: number;
}

/** D1 as the Database port, and what it says of each statement, added up. */
export interface CountedDatabase {
  readonly database: Database;
  readonly counts: RowCounts;
  reset(): void;
}
