import { el, pairs, row, table } from './dom.js';
import { counted, toneOf } from './format.js';
import { timeAgo } from './time.js';

/** @import { NodeRecord } from '../../contract/node.ts' */
/** @import { Nodes } from './read.js' */
/** @import { NodeStatus } from '../../contract/status.ts' */

/**
 * The nodes of the site.
 * @param {Nodes} found
 * @param {{ open: (node_id: string) => void, more: () => void, turnTo: (unheard: boolean) => void, now: number }} options
 */
export function nodeTable(found, { open, more, turnTo, now }) {
  const { nodes, isMore, unheard } = found;
  const rows = nodes.map((node) =>
    row(
      el('button', { class: 'plain', id: `node-${node.node_id}`, click: () => open(node.node_id) }, node.node_id),
      el('span', { class: toneOf(node.liveness) }, node.liveness),
      node.role,
      `${node.host} (${node.ip})`,
      servicesOf(node),
      el('td', { class: 'number' }, timeAgo(node.heard_at, now)),
      node.versions.bootplane,
    ),
  );
  const none = unheard ? 'All nodes are heard.' : 'No node has registered at this site.';
  const turn = el('button', { id: 'turn-nodes', click: () => turnTo(!unheard) }, unheard ? 'All nodes' : 'Only those not heard');
  return [
    el('div', { class: 'head' }, el('h2', {}, unheard ? 'Nodes that are late or lost' : 'Nodes'), turn),
    table(['Node', 'Liveness', 'Role', 'Host', 'Services', 'Heard', 'Version'], rows, none),
    ...(isMore ? [el('p', {}, el('button', { id: 'more-nodes', click: more }, `More than these ${nodes.length}`))] : []),
  ];
}

/** @param {NodeRecord} node */
function servicesOf({ services_running }) {
  const troubled = services_running.filter(({ state }) => toneOf(state) !== 'good');
  const count = counted(services_running.length, 'service');
  return troubled.length === 0
    ? count
    : el('span', { class: 'warn' }, `${count}, ${troubled.map(({ name, state }) => `${name} ${state}`).join(', ')}`);
}

/**
 * One node, with what it last reported.
 * @param {NodeRecord} node
 * @param {NodeStatus | undefined} status undefined where it has reported nothing
 * @param {number} now
 */
export function nodeDetails(node, status, now) {
  const metrics = Object.entries(node.metrics ?? {}).map(([name, value]) => row(name, el('td', { class: 'number' }, value)));
  return [
    pairs([
      ['Liveness', el('span', { class: toneOf(node.liveness) }, node.liveness)],
      ['Site', node.site],
      ['Role', node.lead === false ? `${node.role} (may not lead)` : node.role],
      ['Host', `${node.host} (${node.ip})`],
      // Whoever may register can write one: a page that looks like this one would be given keys.
      ['URL', node.url === undefined ? undefined : el('code', {}, node.url)],
      ['Capabilities', node.capabilities.join(', ')],
      [
        'Versions',
        Object.entries(node.versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(', '),
      ],
      ['Registered', timeAgo(node.registered_at, now)],
      ['Heard', timeAgo(node.heard_at, now)],
    ]),
    el('h3', {}, 'Services'),
    table(['Service', 'Version', 'State', 'Restarts', 'Health'], node.services_running.map(serviceRow), 'It runs no service.'),
    el('h3', {}, 'Reconciled'),
    table(['Component', 'Outcome', 'Generation', 'When', 'Message'], componentRows(status, now), 'It has not reported yet.'),
    ...(node.devices === undefined || node.devices.length === 0
      ? []
      : [
          el('h3', {}, 'Devices'),
          table(
            ['Device', 'Kind'],
            node.devices.map(({ id, kind }) => row(id, kind)),
            '',
          ),
        ]),
    ...(metrics.length === 0 ? [] : [el('h3', {}, 'Metrics'), table(['Metric', 'Value'], metrics, '')]),
  ];
}

/** @param {NodeRecord['services_running'][number]} service */
function serviceRow({ name, version, state, restarts, health }) {
  return row(
    name,
    version,
    el('span', { class: toneOf(state) }, state),
    el('td', { class: 'number' }, restarts ?? 0),
    el('td', { class: 'wide' }, health),
  );
}

/** @param {NodeStatus | undefined} status @param {number} now */
function componentRows(status, now) {
  return Object.entries(status?.components ?? {}).map(([name, { status: outcome, generation, at, message, incompatible }]) =>
    row(
      name,
      el('span', { class: toneOf(outcome) }, outcome),
      el('td', { class: 'number' }, generation),
      el('td', { class: 'number' }, timeAgo(at, now)),
      el(
        'td',
        { class: 'wide' },
        [message, ...incompatible.map(({ subject, detail }) => `${subject}: ${detail}`)].filter(Boolean).join(' · '),
      ),
    ),
  );
}
