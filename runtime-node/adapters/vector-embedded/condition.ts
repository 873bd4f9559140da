import type { SearchQuery } from '../../../shared/ports/vector-index.ts';
import { checkWhere, type Types } from '../vector-checks/values.ts';

export interface Condition {
  readonly sql: string;
  readonly params: readonly (string | number)[];
}

/** The condition for `where`, on the JSON column `meta`. Dates are equal when they name the same instant and UUIDs in either case. */
export function toCondition(where: SearchQuery['where'], types: Types): Condition {
  const parts = checkWhere(where, types).map(({ name, type, value }): Condition => {
    const column = 'json_extract(meta, ?)';
    const wanted = typeof value === 'boolean' ? Number(value) : value;
    const path = `$."${name}"`;
    if (type === 'date') return { sql: `instant(${column}) = instant(?)`, params: [path, wanted] };
    if (type === 'uuid') return { sql: `lower(${column}) = lower(?)`, params: [path, wanted] };
    return { sql: `${column} = ?`, params: [path, wanted] };
  });
  return { sql: parts.map(({ sql }) => ` and ${sql}`).join(''), params: parts.flatMap(({ params }) => params) };
}
