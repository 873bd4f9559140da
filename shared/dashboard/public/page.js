import { whyNot } from './api.js';
import { documentView, NOUNS } from './documents.js';
import { el, show } from './dom.js';
import { eventTable } from './events.js';
import { nodeDetails, nodeTable } from './nodes.js';
import { components, notes, services, tiles, whereabouts } from './overview.js';
import { say } from './status-line.js';

/** @import { Api } from './api.js' */
/** @import { EventRecord } from '../../contract/event.ts' */
/** @import { History } from '../../contract/document.ts' */
/** @import { NodeRecord } from '../../contract/node.ts' */
/** @import { Health, SiteState } from '../../contract/status.ts' */

/**
 * @typedef {object} Found
 * @property {Health} health
 * @property {SiteState} state
 * @property {{ nodes: readonly NodeRecord[], isMore: boolean }} nodes
 * @property {readonly EventRecord[]} events
 * @property {readonly { document: Record<string, unknown> | undefined, history: History | undefined }[] | undefined} documents in the order of `NOUNS`; undefined: as shown
 */

/**
 * The sections of the page, each drawn anew only when it would show something else.
 * @param {HTMLElement} main
 * @param {{ api: Api, more: () => void }} options
 */
export function createPage(main, { api, more }) {
  const parts = {
    tiles: el('div', { class: 'tiles', id: 'tiles' }),
    notes: el('div', { id: 'to-look-at' }),
    services: el('section', { id: 'services' }),
    nodes: el('section', { id: 'nodes' }),
    components: el('section', { id: 'components' }),
    documents: NOUNS.map(({ kind }) => el('section', { id: kind })),
    events: el('section', { id: 'events' }),
  };
  const { documents, ...others } = parts;
  main.replaceChildren(
    others.tiles,
    others.notes,
    others.services,
    others.nodes,
    others.components,
    el('div', { class: 'documents' }, ...documents),
    others.events,
  );
  const open = (/** @type {NodeRecord} */ node) => void showNode(api, node);

  return {
    /** @param {Found} found @param {HTMLElement} where */
    update({ health, state, nodes, events, documents }, where) {
      const now = api.now();
      document.title = `${state.site} · ${state.fleet} · bootplane`;
      show(where, keyOf([state.fleet, health]), () => whereabouts(state, health));
      show(parts.tiles, keyOf(state), () => tiles(state));
      show(parts.notes, keyOf([state, health]), () => notes(state, health));
      parts.notes.hidden = parts.notes.childElementCount === 0;
      show(parts.services, keyOf(state.services), () => services(state));
      show(parts.nodes, keyOf(nodes), () => nodeTable(nodes.nodes, { open, more: nodes.isMore ? more : undefined, now }));
      show(parts.components, keyOf(state.components), () => components(state));
      show(parts.events, keyOf(events), () => eventTable(events, now));
      documents?.forEach(({ document, history }, at) => {
        const [noun, part] = [NOUNS[at], parts.documents[at]];
        if (noun !== undefined && part !== undefined)
          show(part, keyOf([document, history]), () => documentView(noun, document, history, now));
      });
    },
  };
}

/** Two values with the same key show the same. @param {unknown} value */
function keyOf(value) {
  return JSON.stringify(value);
}

/** @param {Api} api @param {NodeRecord} listed */
async function showNode(api, listed) {
  const id = encodeURIComponent(listed.node_id);
  try {
    const [node, status] = await Promise.all([api.find(`/v1/nodes/${id}`), api.find('/v1/bootstrap/status', { node_id: listed.node_id })]);
    openDialog(listed.node_id, nodeDetails(node ?? listed, status, api.now()));
  } catch (error) {
    say(`${listed.node_id} could not be read: ${whyNot(error)}.`);
  }
}

/** @param {string} title @param {readonly Node[]} content */
function openDialog(title, content) {
  const close = el('button', { click: () => dialog.close() }, 'Close');
  const dialog = el(
    'dialog',
    { 'aria-label': title, close: () => dialog.remove() },
    el('header', {}, el('h2', {}, title), close),
    ...content,
  );
  document.body.append(dialog);
  dialog.showModal();
}
