import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { isAlive } from './process-alive.ts';

/** Who holds a data directory, for people to read. The lock itself is another file. */
const Holder = z.object({ pid: z.number().int().min(1), started_at: z.string() });
export type Holder = z.infer<typeof Holder>;

const holderPath = (dir: string) => join(dir, 'holder.json');

/** Throws what the file system throws. */
export function writeHolder(dir: string, holder: Holder): void {
  writeFileSync(holderPath(dir), `${JSON.stringify(holder)}\n`, { mode: 0o600 });
}

/** Undefined when none can be read, or the name is that of a process that is gone: the new holder has not written its own yet. */
export function readHolder(dir: string): Holder | undefined {
  try {
    const holder = Holder.parse(JSON.parse(readFileSync(holderPath(dir), 'utf8')));
    return isAlive(holder.pid) ? holder : undefined;
  } catch {
    return undefined;
  }
}
