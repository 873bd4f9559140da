import { codeOf } from './thrown.ts';

/** True when a process of this number runs, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Another user's process can't be signalled, but it is there.
    return codeOf(error) === 'EPERM';
  }
}
