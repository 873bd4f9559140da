/** How many reads of evidence are under way at once. */
const AT_ONCE = 8;

/** Runs `work` for each item, a few at a time. The results have the order of the items. Rejects with the first error. */
export async function mapFew<In, Out>(items: readonly In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [at, item] of queue) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  return results;
}
