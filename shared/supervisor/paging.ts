import * as z from 'zod';

/** `limit` of every paged call. Each adds its own `after`, the cursor that `next` gave. */
export const PageQuery = z.object({ limit: z.coerce.number().int().min(1).max(500).default(100) });

/** A page from one row more than fits: `next` is there when that row came. */
export function pageOf<T>(rows: readonly T[], limit: number, cursor: (row: T) => string): { items: T[]; next: { next?: string } } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next: rows.length > limit && last !== undefined ? { next: cursor(last) } : {} };
}
