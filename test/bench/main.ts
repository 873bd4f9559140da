/** `npm run bench [-- NAME… --FLAG…]`: every figure of docs/performance.md, as ratios in one run. */
import { cpus } from 'node:os';
import { benchBoot } from './boot.ts';
import { benchBroker } from './broker.ts';
import { benchClaims } from './claims.ts';
import { benchCost } from './cost.ts';
import { benchFallForward } from './fall-forward.ts';
import { benchGrowth } from './growth.ts';
import { benchHeartbeats } from './heartbeats.ts';
import { benchLan } from './lan.ts';
import { benchReconcile } from './reconcile.ts';
import { type Row, table } from './report.ts';
import { benchSim } from './sim.ts';
import { benchTakeover } from './takeover.ts';

const BENCHES: Readonly<Record<string, (flags: readonly string[]) => Promise<Row[]>>> = {
  heartbeats: benchHeartbeats,
  claims: benchClaims,
  boot: benchBoot,
  reconcile: benchReconcile,
  broker: benchBroker,
  'fall-forward': benchFallForward,
  takeover: benchTakeover,
  lan: benchLan,
  growth: benchGrowth,
  cost: benchCost,
  sim: benchSim,
};

const flags = process.argv.slice(2).filter((word) => word.startsWith('--'));
const chosen = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const unknown = chosen.filter((name) => !(name in BENCHES));
if (unknown.length > 0) throw new Error(`there is no bench ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`);

process.stdout.write(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}\n`);
for (const [name, run] of Object.entries(BENCHES)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  process.stdout.write(`\n## ${name}\n\n${table(await run(flags))}\n`);
}
