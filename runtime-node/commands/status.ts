import type { Client } from '../../shared/client.ts';
import { EnvironmentComponentName } from '../../shared/contract/backlog.ts';
import { Component, type Health } from '../../shared/contract/status.ts';
import type { Settings } from '../config.ts';
import type { Define } from './command.ts';
import { connect, findLocalNode } from './connect.ts';
import { colorState, formatAge, oneLine } from './format.ts';
import { colorsFor, type Io, printJson, printLines, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { formatTable } from './table.ts';

const HELP = `
Examples:
  bootplane status                          the node on this machine
  bootplane status --url https://cloud…     another one
  bootplane status --json | jq .components

It exits with 0 when the node answers, also when it is degraded.`;

export const define: Define = (command, run) => {
  addSettings(command, CLIENT_SETTINGS)
    .option('--json', 'print the answer of GET /healthz')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const settings = settingsFrom(io, command);
        const client = await connect(io, settings, { isOfNode: true });
        const { body } = await withProgress(io, 'asking the node', client.health());
        const conflicts = await countConflicts(client);
        if (command.opts().json === true) printJson(io, body);
        else printLines(io, formatHealth(io, body, { started: await uptime(io, client, settings), conflicts }));
      }),
    );
};

interface Beside {
  readonly started: string | undefined;
  readonly conflicts: number;
}

/** Versions of documents that lost when two sites met again. A control plane that does not answer is told above. */
async function countConflicts(client: Client): Promise<number> {
  const state = await client.state().catch(() => undefined);
  return Object.values(state?.body.conflicts ?? {}).reduce((sum, count) => sum + count, 0);
}

/** Known only of the node on this machine. */
async function uptime(io: Io, client: Client, settings: Settings): Promise<string | undefined> {
  const local = await findLocalNode(settings.data_dir).catch(() => undefined);
  return local?.started_at === undefined || local.url !== client.url ? undefined : formatAge(io, local.started_at);
}

function formatHealth(io: Io, health: Health, beside: Beside): string[] {
  const colors = colorsFor(io);
  const waiting = (health.waiting_for ?? []).map((what) => `  waits for ${oneLine(what)}`);
  return [
    `${colors.bold('bootplane')} ${colorState(colors, health.status)}`,
    ...waiting,
    '',
    ...facts(health, beside).map(([name, value]) => `${name.padEnd(14)}${value}`),
    '',
    ...componentLines(io, health),
    ...externalLines(io, health),
    ...serviceLines(io, health),
    ...damageLines(health),
  ];
}

/** How the node came to what it follows. */
const SOURCES: Readonly<Record<NonNullable<Health['source']>, string>> = {
  mdns: 'found on its network',
  peer: 'a node that it remembers or was told of',
  cloud: 'the cloud',
  self: 'its own Supervisor',
  cache: 'nobody: what it has cached',
};

function facts(health: Health, { started, conflicts }: Beside): [string, string][] {
  const leads = health.role === 'leader' ? ' (this node)' : '';
  const { adapters } = health;
  const marks =
    health.provisional === true
      ? ', provisional: the cloud has not confirmed it'
      : health.confirmed === true
        ? ', confirmed by the cloud'
        : '';
  const open = conflicts === 1 ? '1 version lost' : `${conflicts} versions lost`;
  const lines: [string, string | undefined][] = [
    ['node', health.node_id],
    ['role', health.role],
    ['fleet', health.fleet === undefined ? undefined : `${health.fleet}, site ${health.site ?? '?'}`],
    ['leader', health.leader_url === undefined ? 'none' : `${health.leader_url}${leads}, epoch ${health.epoch ?? '?'}${marks}`],
    ['control plane', health.control_plane_url],
    ['follows', health.source && SOURCES[health.source]],
    ['conflicts', conflicts === 0 ? undefined : `${open} when two sides met again: \`bootplane conflicts\` shows what to do`],
    ...emergencyFacts(health),
    ['started', started],
    ['adapters', adapters && `storage ${adapters.storage}, broker ${adapters.broker}, vector ${adapters.vector}`],
  ];
  return lines.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as [string, string]]));
}

/** It waits for nothing and is not degraded: it does what the site was told. But somebody has to end it. */
function emergencyFacts({ emergencies = [] }: Health): [string, string][] {
  return emergencies.map(({ kind, base_generation, n, published_by }) => [
    'emergency',
    `the ${kind} is emergency version ${n} on generation ${base_generation}, by ${oneLine(published_by)}; the cloud's next ${kind} ends it`,
  ]);
}

function componentLines(io: Io, { components = {} }: Health): string[] {
  const colors = colorsFor(io);
  const rows = Component.options.map((name) => {
    const one = components[name];
    if (one === undefined) return [name, colors.dim('not yet'), '', '', '', ''];
    return [
      name,
      colorState(colors, one.status),
      String(one.generation),
      String(one.attempt),
      formatAge(io, one.at),
      oneLine(one.message ?? ''),
    ];
  });
  const skipped = Component.options.flatMap((name) =>
    (components[name]?.incompatible ?? []).map(
      ({ subject, detail }) => `  ${colors.yellow('incompatible')} ${oneLine(`${subject}: ${detail}`)}`,
    ),
  );
  return [...formatTable(['COMPONENT', 'STATUS', 'GENERATION', 'ATTEMPT', 'WHEN', 'MESSAGE'], rows), ...skipped];
}

/** What stands behind the components with an external, and what waits here to go there. */
function externalLines(io: Io, { backlog = {}, adapters }: Health): string[] {
  const colors = colorsFor(io);
  const rows = EnvironmentComponentName.options.flatMap((name) => {
    const one = backlog[name];
    if (one === undefined) return [];
    const { presence, reason, waiting, forwarded, conflicts } = one;
    const counts = [waiting, forwarded, conflicts].map(String);
    return [[oneLine(`${name} (${adapters?.[name] ?? '?'})`), colorState(colors, presence), ...counts, oneLine(reason ?? '')]];
  });
  return rows.length === 0 ? [] : ['', ...formatTable(['EXTERNAL', 'PRESENCE', 'WAITING', 'FORWARDED', 'CONFLICTS', 'REASON'], rows)];
}

function serviceLines(io: Io, { services = [] }: Health): string[] {
  if (services.length === 0) return [];
  const colors = colorsFor(io);
  const rows = services.map(({ name, version, state, restarts, health }) => [
    name,
    oneLine(version),
    colorState(colors, state),
    String(restarts ?? 0),
    oneLine(health ?? ''),
  ]);
  return ['', ...formatTable(['SERVICE', 'VERSION', 'STATE', 'RESTARTS', 'HEALTH'], rows)];
}

function damageLines({ set_aside = [] }: Health): string[] {
  if (set_aside.length === 0) return [];
  const list = (title: string, files: typeof set_aside) => {
    const lines = files.map(({ file, why, kept_as, at }) =>
      oneLine(`  ${file} (${at}): ${why}${kept_as === undefined ? '' : `; kept as ${kept_as}`}`),
    );
    return lines.length === 0 ? [] : ['', title, ...lines];
  };
  return [
    ...list(
      'found damaged and made anew since the start:',
      set_aside.filter(({ reason }) => reason === undefined),
    ),
    ...list(
      'of another fleet key, and replaced since the start:',
      set_aside.filter(({ reason }) => reason === 'other_key'),
    ),
  ];
}
