import { el, row, table } from './dom.js';
import { short } from './format.js';
import { timeAgo } from './time.js';

/** @import { DocumentKind, HistoryEntry } from '../../contract/document.ts' */
/** @import { Published } from './read.js' */

/** @typedef {{ kind: DocumentKind, title: string, path: string }} Noun */

/** @type {readonly Noun[]} */
export const NOUNS = [
  { kind: 'plan', title: 'Cluster Plan', path: '/v1/cluster/plan' },
  { kind: 'profile', title: 'Environment Profile', path: '/v1/bootstrap/profile' },
];

/** How many versions the page lists. */
const SHOWN = 20;

/**
 * What is published, and what was before.
 * @param {Noun} noun
 * @param {Published} published
 * @param {number} now
 */
export function documentView({ kind, title }, { document, history }, now) {
  if (document === undefined) {
    return [el('h2', {}, title), el('p', { class: 'quiet' }, `Nothing is published: bootplane ${kind} publish FILE does that.`)];
  }
  const versions = history?.versions ?? [];
  return [
    el('h2', {}, `${title}, generation ${document.generation}`),
    el('details', { id: `${kind}-text` }, el('summary', {}, 'As it was published'), el('pre', {}, JSON.stringify(document, undefined, 2))),
    el('h3', {}, versions.length > SHOWN ? `The newest ${SHOWN} of ${versions.length} versions` : 'Versions'),
    table(
      ['Generation', 'Published', 'By', 'Hash', ''],
      versions.slice(0, SHOWN).map((version) => versionRow(version, now)),
      'There is no history here.',
    ),
  ];
}

/** @param {HistoryEntry} version @param {number} now */
function versionRow(version, now) {
  const { generation, published_at, published_by, hash } = version;
  const [tone, word] = standingOf(version);
  return row(
    el('td', { class: 'number' }, generation),
    el('td', { class: 'number' }, timeAgo(published_at, now)),
    el('td', { class: 'wide' }, published_by),
    el('code', { title: hash }, short(hash)),
    el('span', { class: tone }, word),
  );
}

/** @param {HistoryEntry} version @returns {[string, string]} */
function standingOf({ current, conflict, resolved }) {
  if (current) return ['good', 'current'];
  if (conflict) return ['warn', 'conflict'];
  return ['quiet', resolved ? 'lost, decided' : ''];
}
