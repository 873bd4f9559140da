/**
 * Run by the crash test, which kills it: adds, replaces and settles without end. What has resolved is told in a file, at
 * once; standard output only says how far it is, because a full pipe would refuse or delay a line.
 */
import { openSync, writeSync } from 'node:fs';
import { argv, stdout } from 'node:process';
import { createSqliteBacklog } from '../../runtime-node/adapters/backlog/index.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

const [, , path = '', round = '0', telling = ''] = argv;
const HERE = { component: 'storage', identity: 'https://one.example' } as const;
const file = openSync(telling, 'a');
const backlog = createSqliteBacklog({ path, clock: new SimulatedClock(), log: recordingLog() });

async function writer(lane: number): Promise<never> {
  for (let step = 0; ; step += 1) {
    const key = `${round}-${lane}-${step % 50}`;
    const hash = `${round}-${step}`;
    await backlog.add([0, 1, 2].map((part) => ({ ...HERE, place: 'bucket', key: `${key}-${part}`, hash, size: step })));
    tell({ key, hash });
    if (step % 3 !== 0) continue;
    const waiting = await backlog.waiting(HERE, [{ place: 'bucket', key: `${key}-0` }]);
    tell({ key, hash, settling: true });
    await backlog.settle(
      HERE,
      waiting.map(({ number }) => ({ number, state: 'forwarded' })),
    );
    tell({ key, hash, settled: true });
  }
}

function tell(done: object): void {
  writeSync(file, `${JSON.stringify(done)}\n`);
  stdout.write('.\n');
}

await Promise.all([0, 1, 2, 3].map(writer));
