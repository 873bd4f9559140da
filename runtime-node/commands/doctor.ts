import type { Settings } from '../config.ts';
import { messageOf } from '../thrown.ts';
import type { Define } from './command.ts';
import { examineCloud } from './doctor-cloud.ts';
import { checkExternals } from './doctor-externals.ts';
import { type Finding, fail } from './doctor-finding.ts';
import { checkMulticast, checkPeers } from './doctor-lan.ts';
import {
  checkClock,
  checkClusterFile,
  checkDataDir,
  checkDisk,
  checkFleetKey,
  checkNodeVersion,
  checkSetAside,
  checkSettings,
} from './doctor-machine.ts';
import { checkAnswer, checkCloud, checkLeader, checkProcess } from './doctor-network.ts';
import { checkTokens } from './doctor-token.ts';
import { EXIT_CODES } from './errors.ts';
import { colorState, oneLine } from './format.ts';
import { colorsFor, type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, NODE_SETTINGS, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane doctor
  bootplane doctor --data-dir ./node-2
  bootplane doctor --json
  bootplane doctor --cloud https://bootplane.example.workers.dev --site shop-1

Give it the flags that you give to \`bootplane up\`. With --cloud only that control URL is checked, from here and as a node
meets it, with the credential that this machine has. It exits with 1 when a check fails.`;

export const define: Define = (command, run) => {
  addSettings(command, [...NODE_SETTINGS, 'url'])
    .option('--cloud <URL>', 'check this cloud control URL, and nothing of this machine')
    .option('--json', 'print the checks')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const checks = await withProgress(
          io,
          'looking',
          examine(io, () => settingsFrom(io, command), command.opts().cloud),
        );
        if (command.opts().json === true) printJson(io, { checks });
        else printLines(io, formatFindings(io, checks));
        return checks.some(({ status }) => status === 'fail') ? EXIT_CODES.failed : EXIT_CODES.ok;
      }),
    );
};

async function examine(io: Io, read: () => Settings, cloud: string | undefined): Promise<Finding[]> {
  const first = [checkNodeVersion(), checkClock(io)];
  let settings: Settings;
  try {
    settings = read();
  } catch (error) {
    return [...first, fail('settings', messageOf(error), 'Correct it; the other checks need the settings.')];
  }
  if (cloud !== undefined) return [...first, ...(await examineCloud(io, settings, cloud))];
  const machine = [checkDataDir(settings), checkDisk(settings), checkFleetKey(io, settings), checkSetAside(settings)];
  const lan = [checkMulticast(settings), checkPeers(io, settings)];
  const tokens = checkTokens(io, settings);
  return [
    ...first,
    checkSettings(settings),
    ...(await Promise.all([...machine, ...lan])),
    ...(await tokens),
    ...(await examineNode(io, settings)),
  ];
}

/** Of a node that does not run there is nothing more to say than that. */
async function examineNode(io: Io, settings: Settings): Promise<Finding[]> {
  const { finding: runs, url } = settings.url === undefined ? await checkProcess(settings) : { finding: undefined, url: settings.url };
  const found = runs === undefined ? [] : [runs];
  if (url === undefined)
    return [...found, ...(await Promise.all([checkExternals(io, settings, undefined), checkCloud(io, settings, undefined)])).flat()];
  const { finding: health, client, told } = await checkAnswer(io, settings);
  const leader = client === undefined ? [] : [checkLeader(io, client, told?.site)];
  const file = settings.url === undefined ? [checkClusterFile(io, settings)] : [];
  const externals = told === undefined ? [] : await checkExternals(io, settings, told);
  return [...found, health, ...externals, ...(await Promise.all([...file, ...leader, checkCloud(io, settings, told)]))];
}

function formatFindings(io: Io, findings: readonly Finding[]): string[] {
  const colors = colorsFor(io);
  const rows = findings.flatMap(({ name, status, detail, advice }) => [
    [colorState(colors, status), name, oneLine(detail)],
    ...(advice === undefined ? [] : [['', '', colors.dim(`-> ${oneLine(advice)}`)]]),
  ]);
  return formatTable(['', 'CHECK', 'FOUND'], rows);
}
