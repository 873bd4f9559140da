import { whyNot } from './api.js';
import { el, show } from './dom.js';
import { nodeDetails } from './nodes.js';

/** @import { Api } from './api.js' */

/**
 * One node, over the page. At most one is open.
 * @param {Api} api
 */
export function createNodeDialog(api) {
  /** @type {{ node_id: string, dialog: HTMLDialogElement, body: HTMLElement } | undefined} */
  let open;

  /** @param {string} node_id */
  function show(node_id) {
    open?.dialog.close();
    const body = el('div', {}, el('p', { class: 'quiet' }, 'Reading …'));
    const close = el('button', { click: () => dialog.close() }, 'Close');
    const dialog = el(
      'dialog',
      { 'aria-label': node_id, close: () => closed(dialog) },
      el('header', {}, el('h2', {}, node_id), close),
      body,
    );
    open = { node_id, dialog, body };
    document.body.append(dialog);
    dialog.showModal();
    void refresh();
  }

  /** @param {HTMLDialogElement} dialog */
  function closed(dialog) {
    dialog.remove();
    if (open?.dialog !== dialog) return;
    const { node_id } = open;
    open = undefined;
    // The button that it was opened by may have been drawn anew since.
    document.getElementById(`node-${node_id}`)?.focus();
  }

  /** Reads what is open once more. */
  async function refresh() {
    if (open === undefined) return;
    const { node_id, body } = open;
    const content = await read(api, node_id).catch((/** @type {unknown} */ error) => failed(error));
    if (open?.body === body) draw(body, content);
  }

  return { show, refresh, close: () => open?.dialog.close() };
}

/** @typedef {{ state: string, content: () => Node[] }} Content */

/** @param {HTMLElement} body @param {Content} content */
function draw(body, { state, content }) {
  show(body, state, content);
}

/** @param {Api} api @param {string} node_id @returns {Promise<Content>} */
async function read(api, node_id) {
  const [node, status] = await Promise.all([
    api.find(`/v1/nodes/${encodeURIComponent(node_id)}`),
    api.find('/v1/bootstrap/status', { node_id }),
  ]);
  if (node === undefined) return said('It is not registered any more.');
  return { state: JSON.stringify([node, status]), content: () => nodeDetails(node, status, api.now()) };
}

/** @param {unknown} error */
function failed(error) {
  return said(`It could not be read: ${whyNot(error)}`);
}

/** @param {string} text @returns {Content} */
function said(text) {
  return { state: text, content: () => [el('p', { class: 'bad' }, text)] };
}
