import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProcessHost, type ProcessHostOptions } from '../../runtime-node/adapters/child-process.ts';
import { createNodeClock } from '../../runtime-node/adapters/clock.ts';
import { createServiceLogs } from '../../runtime-node/adapters/service-logs.ts';
import type { ProcessHost } from '../../shared/ports/process-host.ts';
import { recordingLog } from './recording-log.ts';
import { until as untilGiven } from './until.ts';

/** A data directory for real processes; whatever still runs in it at the end is killed. */
export async function withProcesses(
  use: (world: { data_dir: string; open: (changes?: Partial<ProcessHostOptions>) => ProcessHost }) => Promise<void>,
): Promise<void> {
  const data_dir = await mkdtemp(join(tmpdir(), 'bootplane-processes-'));
  // The user of the services has to pass through, as in a data directory that is set up for that.
  await chmod(data_dir, 0o711);
  const clock = createNodeClock();
  const open = (changes: Partial<ProcessHostOptions> = {}) => {
    const logs = createServiceLogs({ folder: join(data_dir, 'logs'), clock, log: recordingLog() });
    return createProcessHost({ data_dir, node_id: 'n1', clock, logs, ...changes });
  };
  try {
    await use({ data_dir, open });
  } finally {
    const last = open();
    for (const { ref } of await last.list()) await last.signal(ref, 'SIGKILL');
    await until(async () => (await last.list()).length === 0);
    await rm(data_dir, { recursive: true });
  }
}

/** As the suite of process hosts waits. */
export async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  await untilGiven(String(look), async () => look());
}
