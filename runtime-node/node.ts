import { join } from 'node:path';
import { identify } from '../shared/discovery/identify.ts';
import { lockDataDir } from './adapters/data-dir-lock.ts';
import { warnOfBackendSettings } from './backend-settings.ts';
import type { RunningNode } from './commands/io.ts';
import { compose, type OpenMachine, openLan, openMachine } from './compose.ts';
import type { Config } from './config.ts';
import { withDashboard } from './dashboard.ts';
import { Door } from './door.ts';
import { FLEET_KEY_FILE, fleetKey, refuseKeyOfAnother } from './fleet-key.ts';
import { warnOfLanSettings } from './lan-settings.ts';
import { createListening, forgetListening } from './listen-file.ts';
import { openMember } from './member.ts';
import { createNodeControl } from './node-control.ts';
import { createNodeLife } from './node-life.ts';
import { runLife } from './run-life.ts';
import { openTls, trustAlso } from './tls.ts';
import { Undo } from './undo.ts';

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
    // What kept it from starting is what to tell, not what failed on the way back.
    await undo.run().catch(() => undefined);
    throw error;
  }
}

async function boot(given: Config, machine: OpenMachine, undo: Undo): Promise<RunningNode> {
  const began = machine.clock.monotonic();
  const lock = lockDataDir(given.data_dir, machine.clock);
  undo.add(() => lock.release());
  // What is still being written belongs to this process: the next one must not meet it.
  undo.add(() => machine.files.idle());
  const member = await openMember(given, machine);
  const config = member?.config ?? given;
  const key = member?.membership ?? (await holdKey(config, machine));
  const identity = await identify({ ...machine, ...(config.node_id === undefined ? {} : { node_id: config.node_id }) });
  const ports = await compose(config, machine, identity.node_id, undo);
  if (config.tls_ca !== undefined) trustAlso(config.tls_ca);
  const tls = openTls(config, machine);
  const door = await Door.open(config, machine.clock, tls);
  undo.add(() => door.close());
  if (tls !== undefined) inBackground((signal) => tls.run(signal), undo);
  machine.log.info('listen', { step: true, result: door.url, data_dir: config.data_dir, duration_ms: machine.clock.monotonic() - began });
  warnOfLanSettings(config, machine.log);
  warnOfBackendSettings(config, machine.log);
  const lan = await openLan(config, machine, undo);
  const around = { door, damages: machine.damages, unwritten: machine.late.waiting, ...(lan === undefined ? {} : { lan }) };
  const life = await createNodeLife({ config, machine, identity, ports, fleetKey: key, ...around });
  const late: { node?: RunningNode } = {};
  // How the leaving went is what `stopped` says.
  const leave = () => void late.node?.leave().catch(() => undefined);
  const control = createNodeControl({
    node_id: identity.node_id,
    fleetKey: typeof key === 'string' ? key : key.member.local_key,
    answer: life.answer,
    leave,
    untold: life.untold,
  });
  door.admit(withDashboard(control));
  undo.add(() => forgetListening(config.data_dir));
  const listening = createListening(machine, door.loopback);
  await listening.tell();
  inBackground(listening.run, undo);
  inBackground(machine.late.run, undo);
  late.node = runLife(life, door.loopback, undo);
  return late.node;
}

async function holdKey({ data_dir, fleet, api_key }: Config, machine: OpenMachine): Promise<string> {
  const key = await fleetKey(data_dir, api_key, machine);
  refuseKeyOfAnother(fleet, key, api_key === undefined ? join(data_dir, FLEET_KEY_FILE) : 'BOOTPLANE_API_KEY');
  return key;
}

function inBackground(run: (signal: AbortSignal) => Promise<void>, undo: Undo): void {
  const over = new AbortController();
  const running = run(over.signal);
  undo.add(() => {
    over.abort();
    return running;
  });
}
