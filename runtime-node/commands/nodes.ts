import { InvalidArgumentError } from 'commander';
import type { Client } from '../../shared/client.ts';
import { Id, Liveness, LivenessList, type NodeList, type NodeRecord } from '../../shared/contract/index.ts';
import type { Define } from './command.ts';
import { connect } from './connect.ts';
import { colorState, formatAge, oneLine } from './format.ts';
import { colorsFor, type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane nodes
  bootplane nodes --in-site berlin
  bootplane nodes --liveness late,lost       those that are not heard
  bootplane nodes --json | jq '.nodes[].url'

online: heard within the time to live. late: within three of them. lost: not. left: it said so.`;

export const define: Define = (command, run) => {
  addSettings(command, CLIENT_SETTINGS)
    .option('--in-site <NAME>', 'only the nodes of one site', siteName)
    .option('--liveness <STATES>', 'only those that are online, late, lost or left; several with commas between', states)
    .option('--json', 'print all pages of the answer as one')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const { inSite, liveness, json } = command.opts<{ inSite?: string; liveness?: string; json?: boolean }>();
        const client = await connect(io, settingsFrom(io, command));
        const list = await withProgress(
          io,
          'reading the registry',
          allNodes(client, { ...(inSite === undefined ? {} : { site: inSite }), ...(liveness === undefined ? {} : { liveness }) }),
        );
        if (json === true) printJson(io, list);
        else
          printLines(io, [
            ...formatNodes(io, list.nodes, liveness),
            ...(list.nodes.length === 0 ? [] : ['', await tellLeader(client, inSite)]),
          ]);
      }),
    );
};

function siteName(text: string): string {
  const name = Id.safeParse(text);
  if (name.success) return name.data;
  throw new InvalidArgumentError(`It ${name.error.issues[0]?.message}.`);
}

function states(text: string): string {
  if (LivenessList.safeParse(text).success) return text;
  throw new InvalidArgumentError(`It must be some of ${Liveness.options.join(', ')}, with commas between.`);
}

/** Who leads the site of the node that is asked, or the one that was named. */
async function tellLeader(client: Client, named: string | undefined): Promise<string> {
  try {
    // A cloud is of no site, and asked for the one that is the default.
    const site = named ?? (await client.health()).body.site;
    const { node_id, leader_url, epoch, provisional, confirmed } = (await client.leader(site === undefined ? {} : { site })).body;
    const mark = provisional ? ', provisional: the cloud has not confirmed it' : confirmed ? ', confirmed by the cloud' : '';
    return oneLine(`leader: ${node_id} at ${leader_url}, epoch ${epoch}${mark}`);
  } catch (error) {
    return `leader: none (${oneLine(error instanceof Error ? error.message : String(error))})`;
  }
}

async function allNodes(client: Client, query: { readonly site?: string; readonly liveness?: string }): Promise<NodeList> {
  const nodes: NodeRecord[] = [];
  let after: string | undefined;
  do {
    const { body } = await client.nodes({ ...query, ...(after === undefined ? {} : { after }) });
    nodes.push(...body.nodes);
    // a page that does not move on would never end
    after = body.next === after ? undefined : body.next;
  } while (after !== undefined);
  return { nodes };
}

function formatNodes(io: Io, nodes: readonly NodeRecord[], liveness: string | undefined): string[] {
  if (nodes.length === 0) return [liveness === undefined ? 'no node is registered' : `no node is ${liveness.replaceAll(',', ' or ')}`];
  const colors = colorsFor(io);
  const rows = nodes.map((node) => [
    node.node_id,
    node.site,
    node.role,
    colorState(colors, node.liveness),
    formatAge(io, node.heard_at),
    oneLine(node.host),
    oneLine(node.ip),
    node.services_running.map(({ name, state }) => (state === 'running' ? name : `${name} (${colorState(colors, state)})`)).join(', '),
  ]);
  return formatTable(['NODE', 'SITE', 'ROLE', 'LIVENESS', 'HEARD', 'HOST', 'IP', 'SERVICES'], rows);
}
