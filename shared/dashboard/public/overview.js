import { el, link, row, table } from './dom.js';
import { counted, toneOf } from './format.js';

/** @import { Health, SiteState } from '../../contract/status.ts' */

/**
 * The site in a row of tiles.
 * @param {SiteState} state
 */
export function tiles(state) {
  const { leader, nodes, desired, services, devices } = state;
  const short = services.filter(isShort);
  const gone = nodes.late + nodes.lost;
  return [
    tile('Leader', leader?.node_id ?? 'nobody', leader === undefined ? ['bad', 'the site has no leader now'] : leads(leader)),
    tile(
      'Nodes online',
      nodes.online,
      gone === 0 ? ['quiet', `${nodes.left} left in order`] : ['bad', `${nodes.late} late · ${nodes.lost} lost`],
    ),
    tile(
      'Services',
      services.length,
      short.length === 0 ? ['quiet', 'all run as planned'] : ['warn', `${short.length} not running as planned`],
    ),
    tile('Cluster Plan', generationOf(desired.plan), open(state.conflicts.plan)),
    tile('Environment Profile', generationOf(desired.profile), open(state.conflicts.profile)),
    tile('Devices', devices, ['quiet', 'of nodes that are online or late']),
  ];
}

/** @param {NonNullable<SiteState['leader']>} leader @returns {[string, string]} */
function leads({ epoch, provisional }) {
  return provisional ? ['warn', `epoch ${epoch} · not confirmed by the cloud`] : ['quiet', `epoch ${epoch}`];
}

/** @param {number | undefined} generation */
function generationOf(generation) {
  return generation === undefined ? 'none' : `generation ${generation}`;
}

/** @param {number} conflicts @returns {[string, string]} */
function open(conflicts) {
  return conflicts === 0 ? ['quiet', 'no open conflict'] : ['warn', `${counted(conflicts, 'conflict')} to decide`];
}

/**
 * @param {string} name
 * @param {string | number} value
 * @param {[string, string]} note
 */
function tile(name, value, [tone, note]) {
  // An id may be long.
  const size = String(value).length > 14 ? 'name' : 'large';
  return el('div', { class: 'tile' }, el('h2', {}, name), el('p', { class: size }, value), el('p', { class: tone }, note));
}

/** @param {readonly string[]} noted */
export function noteList(noted) {
  if (noted.length === 0) return [];
  const list = el('ul', { class: 'notes' }, ...noted.map((text) => el('li', {}, text)));
  return [el('section', {}, el('h2', { class: 'warn' }, 'To look at'), list)];
}

/**
 * How many the plan wants, as far as the state tells: without a count each node that has it runs it, and somebody has to.
 * @param {Pick<SiteState['services'][number], 'wanted' | 'nodes'>} service
 */
function atLeast({ wanted, nodes }) {
  return wanted ?? Math.max(1, nodes.length);
}

/**
 * @param {SiteState['services'][number]} service
 */
function isShort({ wanted, running, nodes }) {
  return running < atLeast({ wanted, nodes });
}

/** @param {SiteState['services'][number]} service */
function serviceRow(service) {
  const { name, version, running, nodes } = service;
  const count = `${running} of ${atLeast(service)}`;
  return row(
    name,
    version,
    el('td', { class: isShort(service) ? 'number warn' : 'number' }, count),
    el('td', { class: 'wide' }, nodes.length === 0 ? 'nowhere' : nodes.join(', ')),
  );
}

/** @param {SiteState} state */
export function services({ services }) {
  const rows = services.map(serviceRow);
  return [el('h2', {}, 'Services'), table(['Service', 'Version', 'Running', 'Nodes'], rows, 'The plan names no service for this site.')];
}

/** @param {SiteState} state */
export function components({ components }) {
  const rows = Object.entries(components).map(([name, outcomes]) =>
    row(
      name,
      el(
        'td',
        {},
        ...Object.entries(outcomes).flatMap(([outcome, nodes], index) => [
          index === 0 ? undefined : ' · ',
          el('span', { class: toneOf(outcome) }, `${outcome} on ${counted(nodes, 'node')}`),
        ]),
      ),
    ),
  );
  return [el('h2', {}, 'Reconciled'), table(['Component', 'Last outcome'], rows, 'No node has reported yet.')];
}

/**
 * Who answers, for the bar at the top. A node that does not know the key tells no more than how it is.
 * @param {string} fleet
 * @param {Health} health
 */
export function whereabouts(fleet, { node_id, role, version, status, leader_url, scope }) {
  const isFollower = node_id !== undefined && role !== 'leader';
  return [
    ...(fleet === '' ? [] : [el('span', {}, 'fleet ', el('b', {}, fleet))]),
    ...(node_id === undefined ? [] : [el('span', {}, 'node ', el('b', {}, node_id), ` (${role ?? 'starting'})`)]),
    ...(node_id === undefined && version !== undefined ? [el('b', {}, 'cloud')] : []),
    el('span', { class: toneOf(status) }, status),
    ...(isFollower && leader_url !== undefined ? [el('span', {}, 'leader at ', link(leader_url))] : []),
    ...(version === undefined ? [] : [el('span', {}, `bootplane ${version}`)]),
    ...(scope === undefined ? [] : [el('span', {}, `as ${scope}`)]),
  ];
}
