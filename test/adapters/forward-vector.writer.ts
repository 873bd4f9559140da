/**
 * Run by tests that kill it: upserts vectors through an index with an external behind it, and lets them go over. Prints how
 * many are acknowledged, how its fall forward stands, and `done` when all are there.
 */
import { existsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createSqliteBacklog } from '../../runtime-node/adapters/backlog/index.ts';
import { createEmbeddedIndex } from '../../runtime-node/adapters/vector-embedded.ts';
import { VectorError, type VectorIndex } from '../../shared/ports/vector-index.ts';
import { createForwardIndex } from '../../shared/reconcile/fall-forward/vector.ts';
import { recordingLog } from '../support/recording-log.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { systemClock } from '../support/system-clock.ts';
import { openWeaviate } from '../support/weaviate.ts';
import { crashClass, crashVector } from './forward-vector.support.ts';

const [folder = '', url = '', name = '', from = '0', to = '0'] = process.argv.slice(2);
const log = recordingLog();
const spec = crashClass(name);

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

/** Another file stands for the server where no URL is given. It is away as long as a file says so. */
function openExternal(): VectorIndex {
  if (url !== '') return openWeaviate({ url, attempts: 2 });
  const index = createEmbeddedIndex({ path: join(folder, 'external.sqlite'), log });
  return new Proxy(index, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        if (existsSync(join(folder, 'away'))) throw new VectorError('backend_away', 'it is away');
        return value.apply(target, args);
      };
    },
  });
}

const external = openExternal();
const fallback = createEmbeddedIndex({ path: join(folder, 'fallback.sqlite'), log });
await fallback.ensureClass(spec);
const backlog = createSqliteBacklog({ path: join(folder, 'backlog.sqlite'), clock: systemClock, log });
const forward = createForwardIndex({ external, fallback, backlog, clock: systemClock, random: seededRandom(), log });
void forward.run(new AbortController().signal);

/** Straight to the pipe: what was said before the kill must arrive. */
const report = setInterval(() => say(forward.status()), 20);
for (let n = Number(from); n < Number(to); n += 50) {
  const objects = Array.from({ length: Math.min(50, Number(to) - n) }, (_, index) => crashVector(n + index));
  await forward.port.upsert(name, objects);
  say({ acked: n + objects.length });
}
while (forward.status().presence !== 'present') await new Promise((resolve) => setTimeout(resolve, 20));
clearInterval(report);
say({ ...forward.status(), done: true });
process.exit(0);
