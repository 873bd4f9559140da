import { type Command, CommanderError, Command as Program } from 'commander';
import type { Define, Runner } from './command.ts';
import { CommandError, EXIT_CODE_HELP, EXIT_CODES } from './errors.ts';
import { colorsFor, type Io } from './io.ts';

interface Entry {
  readonly summary: string;
  /** Imported only when this command is called, since imports are most of a start. */
  readonly load: () => Promise<{ readonly define: Define }>;
}

const ENTRIES: Readonly<Record<string, Entry>> = {
  up: { summary: 'run a node in the foreground', load: () => import('./up.ts') },
  join: { summary: 'make this machine a node of a fleet, and run it', load: () => import('./join.ts') },
  leave: { summary: 'take the node on this machine out of its fleet', load: () => import('./leave.ts') },
  key: { summary: 'the fleet key, and how another machine joins with it', load: () => import('./key.ts') },
  keys: { summary: 'keys that are issued: list, create, revoke', load: () => import('./keys.ts') },
  fleet: { summary: 'the fleets of a cloud: list, create, rotate, close', load: () => import('./fleet.ts') },
  status: { summary: 'how a node stands: role, leader, components, services', load: () => import('./status.ts') },
  why: { summary: 'why this node is what it is: its last discovery', load: () => import('./why.ts') },
  nodes: { summary: 'the nodes of the fleet', load: () => import('./nodes.ts') },
  events: { summary: 'what happened', load: () => import('./events.ts') },
  logs: { summary: 'the output of a service on this node', load: () => import('./logs.ts') },
  plan: { summary: 'the Cluster Plan: what runs where', load: () => import('./plan.ts') },
  profile: { summary: 'the Environment Profile: storage, broker and vector index', load: () => import('./profile.ts') },
  conflicts: { summary: 'versions that lost after a network was cut, and wait for a person', load: () => import('./conflicts.ts') },
  backlog: { summary: 'what waited for an external and did not go over, for a person to end', load: () => import('./backlog.ts') },
  artifact: { summary: 'files that services start from', load: () => import('./artifact.ts') },
  bundle: { summary: 'plan, profile and artifacts in one file, for sites without a network', load: () => import('./bundle.ts') },
  diff: { summary: 'what a node would change, now or with another plan or profile', load: () => import('./diff.ts') },
  prune: { summary: 'remove what bootplane made and the profile no longer names', load: () => import('./prune.ts') },
  reconcile: { summary: 'what the next reconcile would change on a node: diff', load: () => import('./reconcile.ts') },
  doctor: { summary: 'look for what is wrong on this machine', load: () => import('./doctor.ts') },
};

const FIRST_STEPS = `
Examples:
  bootplane up --examples              a node with the example plan and profile
  bootplane status                     how it stands
  bootplane profile get > env.yaml     read the desired environment
  bootplane diff env.yaml              what a changed one would do on this node
  bootplane profile publish env.yaml   publish it
  bootplane events -f                  watch what happens

Every command has --help with examples, and --json for programs.

${EXIT_CODE_HELP}`;

/** Runs one command line (without program and script name). Resolves with the exit code; never rejects. */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const result = { code: EXIT_CODES.ok as number };
  try {
    const program = await makeProgram(argv, io, result);
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: 'user' });
    return result.code;
  } catch (error) {
    return reportFailure(error, io);
  }
}

async function makeProgram(argv: readonly string[], io: Io, result: { code: number }): Promise<Command> {
  const program = new Program('bootplane')
    .description('The control plane that boots from nothing.')
    .exitOverride()
    .showHelpAfterError('Run with --help for what is known.')
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) => write(hideKeys(text)),
    })
    .addHelpText('after', FIRST_STEPS)
    .helpCommand(false)
    .version(io.version(), '-V, --version', 'print the version');
  const called = argv.find((word) => !word.startsWith('-'));
  for (const [name, entry] of Object.entries(ENTRIES)) {
    const command = program.command(name).description(entry.summary).allowExcessArguments(false);
    if (name === called) (await entry.load()).define(command, runner(io, result));
  }
  return program;
}

/** What is wrong with a command line is said with its words, and one of them may be a fleet key. */
function hideKeys(text: string): string {
  return text
    .replaceAll(/bpk_[\w-]+/g, 'bpk_…')
    .replaceAll(/bp([a-z])~[\w~.-]+/g, 'bp$1~…')
    .replaceAll(/(--[\w-]+=)[^\s']+/g, '$1…');
}

function runner(io: Io, result: { code: number }): Runner {
  return (action) =>
    async (...values) => {
      // commander hands in the arguments, the options and, last, the command
      const command = values.at(-1);
      if (!(command instanceof Program)) throw new TypeError('commander called an action in another way');
      result.code = (await action(io, command)) ?? result.code;
    };
}

async function reportFailure(error: unknown, io: Io): Promise<number> {
  // commander has already printed; its own codes are 0 for help and 1 for everything else
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  const { toCommandError } = await import('./failure.ts');
  const failure = toCommandError(error) ?? asFault(error);
  const colors = colorsFor(io, io.stderr);
  io.stderr.write(`${colors.red('error:')} ${failure.message}\n`);
  if (failure.hint !== undefined) io.stderr.write(`${failure.hint}\n`);
  return EXIT_CODES[failure.kind];
}

function asFault(error: unknown): CommandError {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new CommandError('failed', `bootplane failed in a way that it does not know: ${text}`, 'Please report this.');
}
