import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { programPath } from '../../support/program-path.ts';

const TOOLS = ['ip', 'nft', 'curl'] as const;
const AVAHI = ['avahi-daemon', 'avahi-browse', 'avahi-publish-service', 'dbus-daemon'] as const;

/** Runs a command to its end and gives what it wrote. Rejects with what it wrote to stderr. */
export async function run(command: string, args: readonly string[], seconds = 120): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { timeout: seconds * 1000, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

/** The command and its arguments that run `command` in a network namespace. The process is the command itself: `ip` becomes it. */
export function inside(namespace: string, command: readonly string[]): [string, string[]] {
  return ['ip', ['netns', 'exec', namespace, ...command]];
}

/** Runs a command in a namespace to its end. */
export function runInside(namespace: string, command: readonly string[], seconds?: number): Promise<string> {
  const [program, args] = inside(namespace, command);
  return run(program, args, seconds);
}

/** Why tests on a network of their own can't run here; undefined when they can. */
export function whyNoNetwork(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const missing = TOOLS.filter((tool) => programPath(tool) === undefined);
  if (missing.length > 0) return `not installed: ${missing.join(', ')} (apt-get install iproute2 nftables curl)`;
  const probe = `bplan-${process.pid}-probe`;
  try {
    execFileSync('ip', ['netns', 'add', probe], { stdio: 'pipe' });
    execFileSync('ip', ['netns', 'del', probe], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `network namespaces can't be made here: ${String(error)}`;
  }
}

export function whyNoAvahi(): string | undefined {
  const missing = AVAHI.filter((tool) => programPath(tool) === undefined);
  return missing.length > 0 ? `not installed: ${missing.join(', ')} (apt-get install avahi-daemon avahi-utils dbus)` : undefined;
}

/** Of the switch with delay: Python for the devices that Node can't make. */
export function whyNoDelay(): string | undefined {
  if (programPath('python3') === undefined) return 'not installed: python3';
  return existsSync('/dev/net/tun') ? undefined : 'there is no /dev/net/tun';
}

/** False for a zombie too, which still has a pid. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

/** Prints a figure. Figures are for people to read: what a test asserts is the state. */
export function measured(text: string): void {
  process.stdout.write(`  ${text}\n`);
}
