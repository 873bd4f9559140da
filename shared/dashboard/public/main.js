import { createApi, Refused } from './api.js';
import { el } from './dom.js';
import { dropSession, isSessionKept, keepSession, keptSession } from './session.js';
import { fleetChoice, signInForm } from './sign-in.js';
import { say } from './status-line.js';
import { watch } from './watch.js';
import { whoAmI } from './who.js';

/** @import { Session } from './session.js' */

const holders = {
  main: /** @type {HTMLElement} */ (document.getElementById('main')),
  where: /** @type {HTMLElement} */ (document.getElementById('where')),
  controls: /** @type {HTMLElement} */ (document.getElementById('controls')),
};

/** Ends what the page does for who is signed in. */
let leave = () => {};

/** @param {string} [why] */
function signedOut(why) {
  leave();
  leave = () => {};
  dropSession();
  say(undefined);
  holders.where.replaceChildren();
  holders.controls.replaceChildren();
  const submit = (/** @type {Session} */ session, /** @type {boolean} */ keep) => {
    if (keep) keepSession(session);
    void enter(session);
  };
  holders.main.replaceChildren(signInForm({ why, submit }));
  document.getElementById('credential')?.focus();
}

/**
 * Finds out who it is, and shows what that one may see.
 * @param {Session} session
 */
async function enter(session) {
  const api = createApi(session);
  try {
    const who = await whoAmI(api);
    holders.controls.replaceChildren(el('button', { id: 'sign-out', click: () => signedOut() }, 'Sign out'));
    if (who.kind === 'admin') return chooseFleet(session, who.fleets);
    leave = watch({ api, site: who.site, isNode: who.health.node_id !== undefined, holders, refused: signedOut });
  } catch (error) {
    signedOut(whyNot(error));
  }
}

/** @param {Session} session @param {{ fleet: string }[]} fleets */
function chooseFleet(session, fleets) {
  const choose = (/** @type {string} */ fleet) => {
    if (isSessionKept()) keepSession({ ...session, fleet });
    void enter({ ...session, fleet });
  };
  holders.main.replaceChildren(fleetChoice(fleets, choose));
}

/** @param {unknown} error */
function whyNot(error) {
  if (error instanceof Refused) return error.message;
  return `${location.origin} does not answer: ${error instanceof Error ? error.message : error}`;
}

const kept = keptSession();
if (kept === undefined) signedOut();
else void enter(kept);
