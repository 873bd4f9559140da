import { join } from 'node:path';
import type { DocumentKind } from '../../shared/contract/document.ts';
import { type Config, refuseUnusable, type Settings } from '../config.ts';
import type { Define } from './command.ts';
import { CommandError } from './errors.ts';
import type { Io, RunningNode } from './io.ts';
import { addSettings, environmentHelp, NODE_SETTINGS, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane up                                    a node that finds its fleet, or becomes it
  bootplane up --examples                         with an example plan and profile
  bootplane up --plan plan.yaml --profile env.yaml
  BOOTPLANE_API_KEY=… bootplane up --cloud-url https://control.example
  bootplane up --data-dir ./node-2 --port 7421    a second one on this machine

The first SIGINT (Ctrl-C), SIGTERM or SIGHUP stops the node in order; the second ends it at once.
Without a BOOTPLANE_API_KEY the first start makes a fleet key in the data directory.`;

/** Exit code of a process that a signal ended by force, as shells number it (128 + SIGINT). */
const FORCED = 130;

/**
 * Requests closer together than this are one, milliseconds: on Ctrl-C the terminal signals every process of its
 * foreground group, and npm and npx pass their own signal on to the node besides.
 */
const SAME_REQUEST_MS = 250;

export const define: Define = (command, run) => {
  addSettings(command, NODE_SETTINGS)
    .option('--examples', 'start with the example plan and profile, unless --plan or --profile name others')
    .addHelpText('after', () => `\n${environmentHelp()}\n${HELP}`)
    .action(
      run(async (io, command) => {
        const settings = settingsFrom(io, command);
        refuseUnusable(settings);
        return runNode(io, settings, command.opts().examples === true);
      }),
    );
};

/** Reads the seed files before anything is started, so that a mistake in them is told with its place. */
async function withSeeds(io: Io, settings: Settings, examples: boolean): Promise<Config> {
  const plan = settings.plan_file ?? (examples ? join(io.examples, 'plan.yaml') : undefined);
  const profile = settings.profile_file ?? (examples ? join(io.examples, 'profile.yaml') : undefined);
  if (plan === undefined && profile === undefined) return { ...settings, seeds: {} };
  return {
    ...settings,
    seeds: {
      ...(plan === undefined ? {} : { plan: await readSeed(io, 'plan', plan) }),
      ...(profile === undefined ? {} : { profile: await readSeed(io, 'profile', profile) }),
    },
  };
}

/** A setting that names a file which can't be read is wrong, whatever is wrong with the file. */
async function readSeed(io: Io, kind: DocumentKind, path: string): Promise<Record<string, unknown>> {
  // Brings the YAML parser, which most starts do not need.
  const { readCheckedFile } = await import('./document-check.ts');
  try {
    return (await readCheckedFile(io, kind, path)).body;
  } catch (error) {
    if (!(error instanceof CommandError) || error.kind !== 'file') throw error;
    throw new CommandError('config', `--${kind} (BOOTPLANE_${kind.toUpperCase()}): ${error.message}`, error.hint);
  }
}

/** Runs a node until it has stopped, with the seeds that the settings name. Resolves with its exit code. */
export async function runNode(io: Io, settings: Settings, examples = false): Promise<number> {
  return live(io, await withSeeds(io, settings, examples));
}

/** A request to stop that comes while the node starts is kept. */
async function live(io: Io, config: Config): Promise<number> {
  let node: RunningNode | undefined;
  let requestedAt: number | undefined;
  // How the stop ended is what `stopped` says.
  const stop = () => void node?.stop().catch(() => undefined);
  const stopListening = io.onStopRequest(() => {
    if (requestedAt === undefined) {
      requestedAt = io.now();
      return stop();
    }
    // A clock that was set back in between must not take the second request away.
    if (Math.abs(io.now() - requestedAt) < SAME_REQUEST_MS) return;
    node?.kill();
    io.quit(FORCED);
  });
  try {
    node = await io.startNode(config);
    if (requestedAt !== undefined) stop();
    return await node.stopped;
  } finally {
    stopListening();
  }
}
