import { createApi, Refused, whyNot } from './api.js';
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

/** How soon somebody is asked again who does not answer now, milliseconds. */
const AGAIN_MS = 5_000;

/** Ends what the page does for who is signed in. */
let leave = () => {};

/** What follows goes into the place of what was there. @returns {{ ended: boolean }} */
function begin() {
  leave();
  const life = { ended: false };
  leave = () => {
    life.ended = true;
  };
  return life;
}

/** @param {string} [why] */
function signedOut(why) {
  begin();
  dropSession();
  say(undefined);
  document.title = 'bootplane';
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
  const life = begin();
  const api = createApi(session);
  try {
    const who = await whoAmI(api);
    if (life.ended) return;
    say(undefined);
    holders.controls.replaceChildren(signOutButton());
    if (who.kind === 'admin') return chooseFleet(session, who.fleets);
    leave = watch({ api, site: who.site, isNode: who.health.node_id !== undefined, holders, refused: signedOut });
  } catch (error) {
    if (life.ended) return;
    if (error instanceof Refused && error.status < 500 && error.status !== 429) return signedOut(error.message);
    // It may be starting: nobody has to type anything again because of that.
    say(`${whyNot(error)}. The page tries again by itself.`);
    holders.controls.replaceChildren(signOutButton());
    window.setTimeout(() => life.ended || void enter(session), AGAIN_MS);
  }
}

function signOutButton() {
  return el('button', { id: 'sign-out', click: () => signedOut() }, 'Sign out');
}

/** @param {Session} session @param {{ fleet: string }[]} fleets */
function chooseFleet(session, fleets) {
  const choose = (/** @type {string} */ fleet) => {
    if (isSessionKept()) keepSession({ ...session, fleet });
    void enter({ ...session, fleet });
  };
  holders.main.replaceChildren(fleetChoice(fleets, choose));
}

const kept = keptSession();
if (kept === undefined) signedOut();
else void enter(kept);
