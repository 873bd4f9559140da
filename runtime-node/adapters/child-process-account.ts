import { execFile } from 'node:child_process';
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

/** A user of the machine. A service runs with its own group alone, without supplementary groups. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Undefined when the machine has no such user. Asks `/etc/passwd`, then `id`, which knows directory services too. */
export async function findAccount(name: string): Promise<Account | undefined> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const line = passwd.split('\n').find((one) => one.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid !== undefined && gid !== undefined) return { name, uid: Number(uid), gid: Number(gid) };
  try {
    const ask = async (option: string) => Number((await promisify(execFile)('id', [option, '--', name])).stdout);
    return { name, uid: await ask('-u'), gid: await ask('-g') };
  } catch {
    return undefined;
  }
}

export type Access = 'read' | 'write' | 'execute';
const BITS: { readonly [A in Access]: number } = { read: 4, write: 2, execute: 1 };

/**
 * The first path on the way to `path` (a folder above it, or itself) that is closed to the account, or
 * undefined when nothing is. By owner, group and mode; access control lists are not looked at.
 * Rejects when `path` does not exist.
 */
export async function findClosed(account: Account, path: string, access: readonly Access[]): Promise<string | undefined> {
  const target = await realpath(path);
  for (const folder of foldersAbove(target)) {
    if (!(await allows(account, folder, 'execute'))) return folder;
  }
  for (const one of access) {
    if (!(await allows(account, target, one))) return target;
  }
  return undefined;
}

function foldersAbove(path: string): string[] {
  const above = dirname(path);
  return above === path ? [] : [...foldersAbove(above), above];
}

async function allows({ uid, gid }: Account, path: string, access: Access): Promise<boolean> {
  const entry = await stat(path);
  // The superuser passes everything, but executes only what somebody may execute.
  if (uid === 0) return access !== 'execute' || entry.isDirectory() || (entry.mode & 0o111) !== 0;
  const shift = entry.uid === uid ? 6 : entry.gid === gid ? 3 : 0;
  return (entry.mode & (BITS[access] << shift)) !== 0;
}
