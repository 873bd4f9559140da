import { NoAnswer, Refused, whyNot } from './api.js';
import { createNodeDialog } from './node-dialog.js';
import { repeat } from './pace.js';
import { createPage } from './page.js';
import { createReader } from './read.js';
import { showSite, siteControl, siteOfAddress } from './site-control.js';
import { say } from './status-line.js';
import { updateTimes } from './time.js';
import { healthReader, sitesOf } from './who.js';

/** @import { Api } from './api.js' */

/** How often a node is asked, and how often a cloud, whose requests are paid for: milliseconds. */
const EVERY_MS = { node: 5_000, cloud: 30_000 };

/** @typedef {{ main: HTMLElement, where: HTMLElement, controls: HTMLElement }} Holders */

/**
 * Shows a site and keeps it up to date. Returns what ends that.
 * @param {{ api: Api, site: string, isNode: boolean, holders: Holders, refused: (why: string) => void }} options `site`: where the address names none; `refused`: the credential is not taken any more
 */
export function watch({ api, site, isNode, holders, refused }) {
  const healthOf = healthReader(api);
  const dialog = createNodeDialog(api);
  let view = open(siteOfAddress() ?? site);

  /** @param {string} name */
  function open(name) {
    holders.main.replaceChildren();
    const page = createPage(holders, { now: api.now, open: dialog.show, more: () => more(), turnTo });
    return { site: name, pages: 1, unheard: false, page, reader: createReader(api, name) };
  }

  /** @param {() => boolean} isOver */
  async function look(isOver) {
    const { page, reader } = view;
    const state = reader.state();
    const outcomes = await Promise.all([
      put(page.health, healthOf(), isOver),
      put(page.state, state, isOver),
      put(page.nodes, reader.nodes(view), isOver),
      put(page.events, reader.events(), isOver),
      ...reader.documents(state).map((read, at) => put(page.documents[at], read(), isOver)),
      dialog.refresh(),
    ]);
    const every = EVERY_MS[isNode ? 'node' : 'cloud'];
    if (isOver()) return every;
    const errors = outcomes.filter((error) => error instanceof Error);
    const unknown = errors.find((error) => error instanceof Refused && error.status === 401);
    const silence = errors.find((error) => error instanceof NoAnswer);
    if (unknown !== undefined) refused(unknown.message);
    else say(silence === undefined ? undefined : `${silence.message}. The page tries again by itself.`);
    return Math.max(every, ...errors.map((error) => (error instanceof Refused ? error.retry_after_ms : 0)));
  }

  function more() {
    view.pages += 1;
    pace.now();
  }

  /** @param {boolean} unheard */
  function turnTo(unheard) {
    Object.assign(view, { unheard, pages: 1 });
    pace.now();
  }

  /** @param {string} name */
  function choose(name) {
    if (name === view.site) return;
    dialog.close();
    view = open(name);
    showSite(name);
    control.show(name);
    pace.now();
  }

  const control = siteControl(view.site, { choose, sites: () => sitesOf(api) });
  holders.controls.prepend(control.label);
  const followAddress = () => choose(siteOfAddress() ?? site);
  window.addEventListener('hashchange', followAddress);
  const ticking = setInterval(() => updateTimes(api.now()), 1000);
  const pace = repeat(look);

  return () => {
    pace.end();
    clearInterval(ticking);
    window.removeEventListener('hashchange', followAddress);
    dialog.close();
  };
}

/**
 * Draws what comes, or says why it does not. Resolves with the error where there was one.
 * @template T
 * @param {{ draw: (value: T) => void, miss: (why: string) => void } | undefined} part
 * @param {Promise<T>} coming
 * @param {() => boolean} isOver something else is asked for by now, or nobody is signed in
 * @returns {Promise<Error | undefined>}
 */
async function put(part, coming, isOver) {
  try {
    const value = await coming;
    if (!isOver()) part?.draw(value);
    return undefined;
  } catch (error) {
    const why = whyNot(error);
    // That nobody answers is said once for all of them.
    if (!isOver() && !(error instanceof NoAnswer)) part?.miss(why);
    return error instanceof Error ? error : new Error(why);
  }
}
