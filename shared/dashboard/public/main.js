import { createApi, mayPass, Refused, whyNot } from './api.js';
import { el } from './dom.js';
import { repeat } from './pace.js';
import { dropSession, isSessionKept, keepSession, keptSession } from './session.js';
import { fleetChoice, signInForm } from './sign-in.js';
import { showSite } from './site-control.js';
import { say } from './status-line.js';
import { watch } from './watch.js';
import { whoAmI } from './who.js';

/** @import { Session } from './session.js' */

const holders = {
  main: /** @type {HTMLElement} */ (document.getElementById('main')),
  where: /** @type {HTMLElement} */ (document.getElementById('where')),
  controls: /** @type {HTMLElement} */ (document.getElementById('controls')),
};

/** How soon somebody is asked again who does not answer now, milliseconds. */
const AGAIN_MS = 10_000;

/** Ends what the page does for who is signed in. */
let leave = () => {};

/** @param {string} [why] */
function signedOut(why) {
  leave();
  leave = () => {};
  dropSession();
  showSite(undefined);
  say(undefined);
  document.title = 'bootplane';
  holders.where.replaceChildren();
  holders.controls.replaceChildren();
  const submit = (/** @type {Session} */ session, /** @type {boolean} */ keep) => {
    if (keep) keepSession(session);
    enter(session);
  };
  holders.main.replaceChildren(signInForm({ why, submit }));
  document.getElementById('credential')?.focus();
}

/**
 * Finds out who it is, and shows what that one may see. Who does not answer, or is starting, is asked again: nobody has to type
 * anything a second time because of that.
 * @param {Session} session
 */
function enter(session) {
  leave();
  let hasEnded = false;
  holders.controls.replaceChildren(...(session.chosen ? [otherFleetButton(session)] : []), signOutButton());
  holders.main.replaceChildren(el('p', { class: 'quiet' }, 'Asking …'));
  const asking = repeat(async () => {
    try {
      const api = createApi(session);
      const who = await whoAmI(api);
      if (hasEnded) return AGAIN_MS;
      asking.end();
      say(undefined);
      if (who.kind === 'admin') chooseFleet(session, who.fleets);
      else leave = watch({ api, site: who.site, isNode: who.health.node_id !== undefined, holders, refused: signedOut });
      return AGAIN_MS;
    } catch (error) {
      if (hasEnded) return AGAIN_MS;
      if (mayPass(error)) say(`${whyNot(error)}. The page tries again by itself.`);
      else signedOut(whyNot(error));
      return Math.max(AGAIN_MS, error instanceof Refused ? error.retry_after_ms : 0);
    }
  });
  leave = () => {
    hasEnded = true;
    asking.end();
  };
}

/** @param {Session} session of an admin */
function otherFleetButton({ credential }) {
  const choose = () => {
    showSite(undefined);
    enter({ credential });
  };
  return el('button', { id: 'other-fleet', click: choose }, 'Other fleet');
}

function signOutButton() {
  return el('button', { id: 'sign-out', click: () => signedOut() }, 'Sign out');
}

/** @param {Session} session @param {{ fleet: string }[]} fleets */
function chooseFleet(session, fleets) {
  const choose = (/** @type {string} */ fleet) => {
    const chosen = { ...session, fleet, chosen: true };
    if (isSessionKept()) keepSession(chosen);
    enter(chosen);
  };
  holders.main.replaceChildren(fleetChoice(fleets, choose));
}

const kept = keptSession();
if (kept === undefined) signedOut();
else enter(kept);
