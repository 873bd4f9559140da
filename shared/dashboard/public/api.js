/** @import { Problem } from '../../contract/problem.ts' */

/** The Supervisor answered, and refused. */
export class Refused extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail ?? problem.title);
    this.name = 'Refused';
    this.status = problem.status;
    this.code = problem.code;
  }
}

/** How long an answer may take, milliseconds. */
const ANSWER_WITHIN_MS = 20_000;

/** @typedef {ReturnType<typeof createApi>} Api */

/**
 * Reads `/v1` where this page comes from. The credential goes into a header and nowhere else.
 * @param {{ credential: string, fleet?: string }} who `fleet`: for an admin, and for a key that does not name its fleet
 */
export function createApi({ credential, fleet }) {
  const headers = { authorization: `Bearer ${credential}`, ...(fleet === undefined ? {} : { 'bootplane-fleet': fleet }) };
  let ahead_ms = 0;
  /**
   * @param {string} path
   * @param {Readonly<Record<string, string>>} shown
   * @returns {Promise<any>}
   */
  const read = async (path, shown) => {
    const response = await fetch(path, { headers: shown, cache: 'no-store', signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    ahead_ms = Date.parse(response.headers.get('date') ?? '') - Date.now() || 0;
    const body = await response.json().catch(() => undefined);
    if (response.ok && body !== undefined) return body;
    throw new Refused(body?.code === undefined ? unexpected(response.status) : body);
  };
  return {
    /** The time by the clock of who answers, milliseconds: that of this machine may be wrong. */
    now: () => Date.now() + ahead_ms,
    /**
     * Rejects with `Refused`, and with a `TypeError` or `TimeoutError` when nobody answers.
     * @param {string} path
     * @param {Readonly<Record<string, string | number | undefined>>} [query]
     * @returns {Promise<any>}
     */
    get(path, query = {}) {
      const known = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
      const search = known.length === 0 ? '' : `?${new URLSearchParams(known)}`;
      return read(path + search, headers);
    },
    /** What it says to everybody. @param {string} path @returns {Promise<any>} */
    asStranger: (path) => read(path, {}),
    /**
     * The same as `get`, but undefined when there is no such thing (404).
     * @param {string} path
     * @param {Readonly<Record<string, string | number | undefined>>} [query]
     * @returns {Promise<any>}
     */
    async find(path, query) {
      try {
        return await this.get(path, query);
      } catch (error) {
        if (error instanceof Refused && error.status === 404) return undefined;
        throw error;
      }
    },
  };
}

/**
 * What stands between may answer in its own words.
 * @param {number} status
 * @returns {Problem}
 */
function unexpected(status) {
  return /** @type {Problem} */ ({
    status,
    code: 'internal',
    title: `status ${status}`,
    detail: `the answer was ${status}, and not one of bootplane's`,
  });
}

/**
 * What to tell people of a call that failed.
 * @param {unknown} error
 */
export function whyNot(error) {
  return error instanceof Refused ? error.message : `${location.origin} does not answer`;
}
