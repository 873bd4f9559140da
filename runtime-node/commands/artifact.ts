import { createArtifactClient } from '../../shared/artifact-client.ts';
import type { ArtifactInfo } from '../../shared/contract/artifact.ts';
import { hashFile, megabytes, uploadFile } from './artifact-upload.ts';
import type { Define } from './command.ts';
import { connectUnbounded } from './connect.ts';
import { formatAge } from './format.ts';
import { type Io, printJson, printLines } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane artifact push server.tar.gz      store it, and print what to write into the plan
  bootplane artifact list                    what is stored

An archive (.tar.gz, .tgz, .tar, .zip) is unpacked on each node that runs the service, and the
service starts in that folder: a command with a slash, as ./bin/server, is looked for there. Any other file is
put into a folder of its own, ready to run.`;

export const define: Define = (command, run) => {
  command.addHelpText('after', HELP);
  const push = command.command('push <file>').description('store a file for services to start from').allowExcessArguments(false);
  addSettings(push, CLIENT_SETTINGS)
    .option('--name <NAME>', 'how the plan calls it, if not as the file; the ending says how it is packed')
    .option('--json', 'print {sha256, path, size, stored}')
    .action(
      run(async (io, called) => {
        const { name, json } = called.opts<{ name?: string; json?: boolean }>();
        const client = createArtifactClient(await connectUnbounded(io, settingsFrom(io, called)));
        const file = await hashFile(io, called.args[0] ?? '');
        const stored = await uploadFile(io, client, file);
        const { sha256, size } = file;
        const path = name ?? file.name;
        if (json === true) return printJson(io, { sha256, path, size, stored });
        const what = stored ? `stored ${file.name}, ${megabytes(size)} MB` : `${file.name} is stored already`;
        printLines(io, [`${what}. In the plan:`, `    artifact: { sha256: ${sha256}, path: ${quoted(path)} }`]);
      }),
    );
  const list = command
    .command('list')
    .description('the artifacts that the node that answers, or its leader, has')
    .allowExcessArguments(false);
  addSettings(list, CLIENT_SETTINGS)
    .option('--json', 'print the answer')
    .action(
      run(async (io, called) => {
        const client = createArtifactClient(await connectUnbounded(io, settingsFrom(io, called)));
        const artifacts: ArtifactInfo[] = [];
        for (let page = await client.list(); ; page = await client.list(page.next)) {
          artifacts.push(...page.artifacts);
          if (page.next === undefined) break;
        }
        if (called.opts().json === true) printJson(io, { artifacts });
        else printLines(io, formatList(io, artifacts));
      }),
    );
};

function formatList(io: Io, artifacts: readonly ArtifactInfo[]): string[] {
  if (artifacts.length === 0) return ['no artifact is stored'];
  const rows = artifacts.map(({ sha256, size, stored_at }) => [sha256, `${megabytes(size)} MB`, formatAge(io, stored_at)]);
  return formatTable(['SHA-256', 'SIZE', 'STORED'], rows);
}

/** As YAML reads it. */
function quoted(text: string): string {
  return /^[\w][\w./-]*$/.test(text) ? text : JSON.stringify(text);
}
