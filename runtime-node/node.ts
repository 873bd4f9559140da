import { identify } from '../shared/discovery/identify.ts';
import { lockDataDir } from './adapters/data-dir-lock.ts';
import type { RunningNode } from './commands/io.ts';
import { compose, type Machine, openMachine } from './compose.ts';
import type { Config } from './config.ts';
import { Door } from './door.ts';
import { fleetKey } from './fleet-key.ts';
import { forgetListening, rememberListening } from './listen-file.ts';
import { createNodeLife, type NodeLife } from './node-life.ts';

/** What must be undone when the node ends, or when its start fails half way; the last one first. */
class Undo {
  readonly #steps: (() => Promise<void> | void)[] = [];

  add(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) await step();
  }
}

/**
 * Starts one node on its data directory. Resolves when it listens; what follows (finding or becoming
 * the control plane, applying) goes on by itself. Rejects, with nothing left behind, when the data
 * directory is in use or can't be used, or the address is taken.
 */
export async function startNode(config: Config): Promise<RunningNode> {
  const undo = new Undo();
  try {
    return await boot(config, openMachine(config), undo);
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function boot(config: Config, machine: Machine, undo: Undo): Promise<RunningNode> {
  const began = machine.clock.monotonic();
  const lock = lockDataDir(config.data_dir, machine.clock);
  undo.add(() => lock.release());
  const key = await fleetKey(config.data_dir, config.api_key, machine.random, machine.log);
  const identity = await identify({ ...machine, ...(config.node_id === undefined ? {} : { node_id: config.node_id }) });
  const ports = await compose(config, machine, identity.node_id);
  undo.add(() => ports.close());
  const door = await Door.open(config);
  undo.add(() => door.close());
  machine.log.info('listen', { step: true, result: door.url, data_dir: config.data_dir, duration_ms: machine.clock.monotonic() - began });
  const life = await createNodeLife({ config, machine, identity, ports, door, fleetKey: key });
  door.admit(life.answer);
  await rememberListening(machine.files, door.loopback, machine.clock);
  undo.add(() => forgetListening(config.data_dir));
  return run(life, door.loopback, undo);
}

function run(life: NodeLife, url: string, undo: Undo): RunningNode {
  const crash = new AbortController();
  const stopped = life
    .run(crash.signal)
    .then(() => undo.run())
    .then(() => 0);
  return { url, stopped, stop: () => life.stop(), kill: () => crash.abort() };
}
