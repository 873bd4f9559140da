import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const PARTS = ['package.json', 'tsconfig.json', 'migrations', 'shared', 'runtime-node'];

/** The program as it is published, built in a folder of its own: another test may be at work in `dist/`. */
export async function buildPackage(): Promise<{ readonly program: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'bootplane-package-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    for (const part of PARTS) await cp(part, join(folder, part), { recursive: true });
    await symlink(resolve('node_modules'), join(folder, 'node_modules'));
    await promisify(execFile)(process.execPath, ['runtime-node/build.ts'], { cwd: folder, timeout: 280_000 });
  } catch (error) {
    await remove();
    throw error;
  }
  return { program: join(folder, 'dist/bootplane.js'), remove };
}
