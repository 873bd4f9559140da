import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { MUTATIONS } from './list.ts';

/** Loaded first: from then on the file of the mutation that `SIM_MUTATION` names is another. Throws when it does not fit any more. */
const name = process.env.SIM_MUTATION;
const mutation = MUTATIONS.find((one) => one.name === name);
if (mutation === undefined) throw new Error(`there is no mutation "${name}"`);
const { file, from, to } = mutation;
const target = new URL(`../../../${file}`, import.meta.url);
const original = readFileSync(target, 'utf8');
if (original.split(from).length !== 2)
  throw new Error(`mutation "${name}" does not fit ${file} any more: change it as the code has changed`);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    return url === target.href ? { ...loaded, source: original.replace(from, () => to) } : loaded;
  },
});
