import { parseArgs } from 'node:util';
import { installSyncCrypto } from './sync-crypto.ts';

/** `npm run sim -- --seeds N --nodes 5 --seconds 120 [--from S] [--seed S] [--log] [--wire]` */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    nodes: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '120' },
    log: { type: 'boolean', default: false },
    wire: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
});

installSyncCrypto();
const { runSeed } = await import('./run-seed.ts');
const [nodes, seconds] = [Number(values.nodes), Number(values.seconds)];
const keep = ['step' as const, ...(values.log ? ['log' as const] : []), ...(values.wire ? ['wire' as const] : [])];

if (values.seed !== undefined) {
  const result = await runSeed(Number(values.seed), { nodes, seconds, keep });
  process.stdout.write(`${result.transcript}\n${result.digest}\n${result.broken?.message ?? 'all is well'}\n`);
  process.exit(result.broken === undefined ? 0 : 1);
}
const began = performance.now();
let failed = 0;
const totals: Record<string, number> = {};
for (let seed = Number(values.from); seed < Number(values.from) + Number(values.seeds); seed += 1) {
  const { broken, faults, covered } = await runSeed(seed, { nodes, seconds });
  for (const [name, count] of [...Object.entries(faults).map(([n, c]) => [`fault ${n}`, c] as const), ...Object.entries(covered)])
    totals[name] = (totals[name] ?? 0) + count;
  if (broken === undefined) continue;
  failed += 1;
  process.stdout.write(`seed ${seed}: ${broken.message}\n`);
  if (!values['keep-going']) break;
}
for (const [name, count] of Object.entries(totals).sort()) process.stdout.write(`${String(count).padStart(8)}  ${name}\n`);
process.stdout.write(`${failed} failed; ${Math.round((performance.now() - began) / Number(values.seeds))} ms a seed\n`);
process.exit(failed === 0 ? 0 : 1);
