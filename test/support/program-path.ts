import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where a program is, by `PATH` and where those of the system are; undefined where it is not installed. */
export function programPath(program: string): string | undefined {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
    .map((folder) => join(folder, program))
    .find((path) => existsSync(path));
}
