import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ChildServer {
  readonly ready: Readonly<Record<string, unknown>> & { readonly port: number };
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** Starts a server in a process of its own, on the first processor where taskset is there; its first line of output is JSON with its port. */
export async function startServer(script: string, env: Readonly<Record<string, string>> = {}): Promise<ChildServer> {
  const node = [process.execPath, '--import', './runtime-node/fast-imports.js', script];
  const command = process.platform === 'linux' ? ['taskset', '-c', '0', ...node] : node;
  const child = spawn(command[0]!, command.slice(1), { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  for await (const line of createInterface({ input: child.stdout! })) {
    const stop = () => {
      child.kill('SIGTERM');
      return exited;
    };
    return { ready: JSON.parse(line), child, stop };
  }
  throw new Error(`${script} ended before it was ready`);
}
