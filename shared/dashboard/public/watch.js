import { Refused, whyNot } from './api.js';
import { NOUNS } from './documents.js';
import { createPage } from './page.js';
import { siteControl } from './site-control.js';
import { say } from './status-line.js';
import { updateTimes } from './time.js';
import { healthReader, sitesOf } from './who.js';

/** @import { Api } from './api.js' */
/** @import { NodeRecord } from '../../contract/node.ts' */
/** @import { Health, SiteState } from '../../contract/status.ts' */

/** How often a node is asked, and how often a cloud, whose requests are paid for: milliseconds. */
const EVERY_MS = { node: 5_000, cloud: 30_000 };
const PAGE = 100;
const EVENTS = 50;

/** @typedef {{ main: HTMLElement, where: HTMLElement, controls: HTMLElement }} Holders */

/**
 * Shows a site and keeps it up to date, for as long as the page can be seen. Returns what ends that.
 * @param {{ api: Api, site: string, isNode: boolean, holders: Holders, refused: (why: string) => void }} options `site`: where the address names none; `refused`: the credential is not taken any more
 */
export function watch({ api, site, isNode, holders, refused }) {
  const healthOf = healthReader(api);
  const view = { site: siteOfAddress() ?? site, pages: 1, generations: '', ended: false };
  const page = createPage(holders.main, { api, more: () => more() });
  let timer = 0;
  let asked = 0;

  async function look() {
    clearTimeout(timer);
    const mine = ++asked;
    try {
      const found = await gather(api, healthOf, view);
      // Another site was chosen meanwhile, or somebody has signed out.
      if (mine !== asked || view.ended) return;
      page.update(found, holders.where);
      if (found.documents !== undefined) view.generations = found.generations;
      say(undefined);
    } catch (error) {
      if (mine !== asked || view.ended) return;
      if (error instanceof Refused && error.status === 401) return refused(error.message);
      say(`${whyNot(error)}. What is shown is from before; the page tries again by itself.`);
    }
    if (document.visibilityState === 'visible') timer = window.setTimeout(look, EVERY_MS[isNode ? 'node' : 'cloud']);
  }

  function more() {
    view.pages += 1;
    void look();
  }

  const choose = (/** @type {string} */ site) => {
    Object.assign(view, { site, pages: 1, generations: '' });
    history.replaceState(null, '', `#${new URLSearchParams({ site })}`);
    void look();
  };
  const control = siteControl(view.site, { choose, sites: () => sitesOf(api) });
  holders.controls.prepend(control);

  const seen = () => document.visibilityState === 'visible' && void look();
  document.addEventListener('visibilitychange', seen);
  const ticking = setInterval(() => updateTimes(api.now()), 1000);
  void look();

  return () => {
    view.ended = true;
    clearTimeout(timer);
    clearInterval(ticking);
    document.removeEventListener('visibilitychange', seen);
  };
}

/** A site can be named in the address, to come back to it or to send it to somebody. */
function siteOfAddress() {
  return new URLSearchParams(location.hash.slice(1)).get('site') ?? undefined;
}

/**
 * All that the page shows. The documents only when there are others than were shown.
 * @param {Api} api
 * @param {() => Promise<Health>} healthOf
 * @param {{ site: string, pages: number, generations: string }} view
 */
async function gather(api, healthOf, { site, pages, generations: before }) {
  const [health, state, nodes, { events }] = await Promise.all([
    healthOf(),
    /** @type {Promise<SiteState>} */ (api.get('/v1/state', { site })),
    nodesOf(api, site, pages),
    api.get('/v1/events', { site, last: EVENTS }),
  ]);
  const { desired, conflicts, emergencies } = state;
  const generations = JSON.stringify([site, desired, conflicts, emergencies]);
  const documents = generations === before ? undefined : await Promise.all(NOUNS.map((noun) => documentOf(api, noun.path, site)));
  return { health, state, nodes, events, generations, documents };
}

/**
 * @param {Api} api
 * @param {string} path
 * @param {string} site
 */
async function documentOf(api, path, site) {
  const [document, history] = await Promise.all([api.find(path, { site }), api.find(`${path}/history`, { site })]);
  return { document, history };
}

/**
 * The first pages of the site's nodes.
 * @param {Api} api
 * @param {string} site
 * @param {number} pages
 */
async function nodesOf(api, site, pages) {
  /** @type {NodeRecord[]} */
  const nodes = [];
  /** @type {string | undefined} */
  let after;
  for (let page = 0; page < pages; page += 1) {
    const part = await api.get('/v1/nodes', { site, limit: PAGE, after });
    nodes.push(...part.nodes);
    after = part.next;
    if (after === undefined) break;
  }
  return { nodes, isMore: after !== undefined };
}
