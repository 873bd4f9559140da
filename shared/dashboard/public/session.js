/** @typedef {{ credential: string, fleet?: string, chosen?: boolean }} Session `chosen`: an admin has chosen the fleet and may choose another */

const KEY = 'bootplane';

/**
 * Who is signed in. Kept until this tab is closed where that was asked for, else until the page is left; never in a
 * cookie, never in the address.
 * @returns {Session | undefined}
 */
export function keptSession() {
  const kept = sessionStorage.getItem(KEY);
  return kept === null ? undefined : JSON.parse(kept);
}

/** @param {Session} session */
export function keepSession(session) {
  sessionStorage.setItem(KEY, JSON.stringify(session));
}

export function isSessionKept() {
  return sessionStorage.getItem(KEY) !== null;
}

export function dropSession() {
  sessionStorage.removeItem(KEY);
}
