import { join } from 'node:path';
import * as z from 'zod';
import type { Settings } from '../config.ts';
import type { Define } from './command.ts';
import { findFleetKey, parseJson, readOptional } from './connect.ts';
import { type Io, printJson, printLines } from './io.ts';
import { addSettings, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane key show                    the fleet key, and how another machine joins with it
  bootplane key show --quiet | ssh root@shop-2 bootplane join - --no-start
  bootplane key show --json

Who has the fleet key owns the fleet: it reads and publishes everything, and starts programs on every node.`;

export const define: Define = (command, run) => {
  addSettings(command.command('show').description('the fleet key, and the command that adds a machine'), ['data_dir', 'fleet', 'site'])
    .option('-q, --quiet', 'print the key and nothing else')
    .option('--json', 'print key, fleet, site and command')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const { quiet, json } = command.opts<{ quiet?: boolean; json?: boolean }>();
        const settings = settingsFrom(io, command);
        const key = await findFleetKey(settings);
        const { fleet, site } = await placeOf(settings);
        const names = flagsOf({ fleet, site });
        warn(io);
        if (quiet === true) printLines(io, [key]);
        else if (json === true) printJson(io, { key, fleet, site, join: ['bootplane join', key, ...names].join(' ') });
        else printLines(io, tell(key, names));
      }),
    );
};

function tell(key: string, names: readonly string[]): string[] {
  const flags = names.map((name) => ` ${name}`).join('');
  return [
    key,
    '',
    'Another machine joins the fleet with',
    `  bootplane join ${key}${flags}`,
    'or, so that the key stands in no process list and no shell history there,',
    `  bootplane key show --quiet | ssh MACHINE bootplane join -${flags} --no-start`,
  ];
}

/** A script knows what it does. */
function warn(io: Io): void {
  if (io.stdout.isTTY === true) io.stderr.write('Keep it secret: whoever has this key owns the fleet.\n');
}

/** The names under which the node of the directory ran last; what is set wins. */
const Place = z.object({ fleet: z.string(), site: z.string() });

async function placeOf(settings: Settings): Promise<z.infer<typeof Place>> {
  const told = Place.safeParse(parseJson((await readOptional(join(settings.data_dir, 'cluster.json')).catch(() => undefined)) ?? ''));
  if (!told.success) return settings;
  return {
    fleet: settings.fleet === 'default' ? told.data.fleet : settings.fleet,
    site: settings.site === 'default' ? told.data.site : settings.site,
  };
}

/** The key says nothing of the names, and the keys of a fleet are derived with its name. */
export function flagsOf({ fleet, site }: z.infer<typeof Place>): string[] {
  return [...(fleet === 'default' ? [] : [`--fleet ${fleet}`]), ...(site === 'default' ? [] : [`--site ${site}`])];
}
