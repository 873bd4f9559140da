import { createArtifactClient } from '../../shared/artifact-client.ts';
import type { Client } from '../../shared/client.ts';
import type { ArtifactInfo } from '../../shared/contract/artifact.ts';
import type { Health } from '../../shared/contract/status.ts';
import { hashFile, megabytes, uploadFile } from './artifact-upload.ts';
import type { Define } from './command.ts';
import { connect, connectUnbounded } from './connect.ts';
import { formatAge, oneLine } from './format.ts';
import { type Io, printJson, printLines } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane artifact push server.tar.gz      store it, and print what to write into the plan
  bootplane artifact list                    what the leader of the moment has stored

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
    .description('the artifacts that the leader has, or the cloud that answers in its place')
    .allowExcessArguments(false);
  addSettings(list, CLIENT_SETTINGS)
    .option('--json', 'print the answer')
    .action(
      run(async (io, called) => {
        const settings = settingsFrom(io, called);
        const client = createArtifactClient(await connectUnbounded(io, settings));
        const artifacts: ArtifactInfo[] = [];
        for (let page = await client.list(); ; page = await client.list(page.next)) {
          artifacts.push(...page.artifacts);
          if (page.next === undefined) break;
        }
        if (called.opts().json === true) printJson(io, { artifacts });
        else printLines(io, [...formatList(io, artifacts), '', await tellWhose(await connect(io, settings))]);
      }),
    );
};

function formatList(io: Io, artifacts: readonly ArtifactInfo[]): string[] {
  if (artifacts.length === 0) return ['no artifact is stored'];
  const rows = artifacts.map(({ sha256, size, stored_at }) => [sha256, `${megabytes(size)} MB`, formatAge(io, stored_at)]);
  return formatTable(['SHA-256', 'SIZE', 'STORED'], rows);
}

/** The next one to lead may store others: what is missing in a list need not be lost. */
async function tellWhose(client: Client): Promise<string> {
  const health = await client.health().catch(() => undefined);
  return `stored at ${oneLine(whose(client.url, health?.body))}; other nodes may have others, and fetch them from each other`;
}

/** Who answers the list: whoever leads, or the cloud where a node follows that. */
function whose(url: string, health: Health | undefined): string {
  // A node tells that to few credentials; a cloud is no node.
  if (health === undefined) return `whoever leads for ${url}`;
  if (health.node_id === undefined) return url;
  const { node_id, role, source, leader_node_id, leader_url } = health;
  if (role === 'leader') return `node ${node_id}, which leads`;
  if (source === 'cloud') return `the cloud, which node ${node_id} follows`;
  return leader_url === undefined ? `the leader of node ${node_id}` : `node ${leader_node_id ?? '?'} (${leader_url}), which leads`;
}

/** As YAML reads it. */
function quoted(text: string): string {
  return /^[\w][\w./-]*$/.test(text) ? text : JSON.stringify(text);
}
