import { NOUNS } from './documents.js';

/** @import { Api } from './api.js' */
/** @import { History } from '../../contract/document.ts' */
/** @import { EventRecord } from '../../contract/event.ts' */
/** @import { NodeRecord } from '../../contract/node.ts' */
/** @import { SiteState } from '../../contract/status.ts' */

const PAGE = 100;
const EVENTS = 50;

/** @typedef {{ document: Record<string, unknown> | undefined, history: History | undefined }} Published `document`: as on the wire; undefined while nothing is published */
/** @typedef {{ nodes: NodeRecord[], isMore: boolean, unheard: boolean }} Nodes `unheard`: those alone that are late or lost */

/**
 * What is read of one site. A document is read again only when the state names another generation.
 * @param {Api} api
 * @param {string} site
 */
export function createReader(api, site) {
  const documents = NOUNS.map(({ path }) => keptUntil(() => readDocument(api, path, site)));
  return {
    /** @returns {Promise<SiteState>} */
    state: () => api.get('/v1/state', { site }),
    /** @param {{ pages: number, unheard: boolean }} wanted @returns {Promise<Nodes>} */
    nodes: (wanted) => readNodes(api, site, wanted),
    /** @returns {Promise<readonly EventRecord[]>} */
    events: async () => (await api.get('/v1/events', { site, last: EVENTS })).events,
    /** One for each of `NOUNS`. @param {Promise<SiteState>} state */
    documents: (state) =>
      documents.map(
        (read) => async () =>
          read(
            await state.then(
              ({ desired, conflicts, emergencies }) => JSON.stringify([desired, conflicts, emergencies]),
              () => undefined,
            ),
          ),
      ),
  };
}

/**
 * Reads again only for another key, and each time when there is none.
 * @param {() => Promise<Published>} read
 */
function keptUntil(read) {
  /** @type {{ key: string, value: Published } | undefined} */
  let kept;
  return async (/** @type {string | undefined} */ key) => {
    if (kept !== undefined && kept.key === key) return kept.value;
    const value = await read();
    kept = key === undefined ? undefined : { key, value };
    return value;
  };
}

/**
 * @param {Api} api
 * @param {string} path
 * @param {string} site
 * @returns {Promise<Published>}
 */
async function readDocument(api, path, site) {
  const [document, history] = await Promise.all([api.find(path, { site }), api.find(`${path}/history`, { site })]);
  return { document, history };
}

/**
 * The first pages of the site's nodes.
 * @param {Api} api
 * @param {string} site
 * @param {{ pages: number, unheard: boolean }} wanted
 * @returns {Promise<Nodes>}
 */
async function readNodes(api, site, { pages, unheard }) {
  /** @type {NodeRecord[]} */
  const nodes = [];
  /** @type {string | undefined} */
  let after;
  for (let page = 0; page < pages; page += 1) {
    const part = await api.get('/v1/nodes', { site, limit: PAGE, after, liveness: unheard ? 'late,lost' : undefined });
    nodes.push(...part.nodes);
    after = part.next;
    if (after === undefined) break;
  }
  return { nodes, isMore: after !== undefined, unheard };
}
