import type * as z from 'zod';

/**
 * Refuses every text below a value that is not well-formed Unicode. JSON lets half of a surrogate pair
 * through as an escape; the canonical form does not (RFC 8785, section 3.2.2.2), so it would have no hash.
 */
export function refuseIllFormed(value: unknown, context: z.core.$RefinementCtx): void {
  for (const path of illFormedTexts(value, []))
    context.addIssue({ code: 'custom', path, message: 'must be Unicode text, without halves of surrogate pairs' });
}

/** Paths of texts; the name of a field is found where the field is. */
function illFormedTexts(value: unknown, path: readonly PropertyKey[]): PropertyKey[][] {
  if (typeof value === 'string') return value.isWellFormed() ? [] : [[...path]];
  if (Array.isArray(value)) return value.flatMap((item, index) => illFormedTexts(item, [...path, index]));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, field]) => [
    ...(name.isWellFormed() ? [] : [[...path, name]]),
    ...illFormedTexts(field, [...path, name]),
  ]);
}
