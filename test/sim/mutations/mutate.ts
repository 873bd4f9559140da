import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { type Edit, MUTATIONS } from './list.ts';

/** Loaded first: from then on the files of the mutation that `SIM_MUTATION` names are others. Throws when it does not fit any more. */
const name = process.env.SIM_MUTATION;
const mutation = MUTATIONS.find((one) => one.name === name);
if (mutation === undefined) throw new Error(`there is no mutation "${name}"`);
const sources = new Map([mutation, ...(mutation.also === undefined ? [] : [mutation.also])].map(mutated));

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const source = sources.get(url);
    return source === undefined ? loaded : { ...loaded, source };
  },
});

/** URL and new text of the file. */
function mutated({ file, from, to }: Edit): [string, string] {
  const { href } = new URL(`../../../${file}`, import.meta.url);
  const original = readFileSync(new URL(href), 'utf8');
  if (original.split(from).length !== 2)
    throw new Error(`mutation "${name}" does not fit ${file} any more: change it as the code has changed`);
  return [href, original.replace(from, () => to)];
}
