/** @import { Problem } from '../../contract/problem.ts' */

/** The Supervisor answered, and refused. */
export class Refused extends Error {
  /** @param {Problem} problem @param {string | null} retry_after seconds */
  constructor(problem, retry_after) {
    super(problem.detail);
    this.name = 'Refused';
    this.status = problem.status;
    this.retry_after_ms = Number(retry_after ?? 0) * 1000 || 0;
  }
}

/** Nobody answered, or not whole. */
export class NoAnswer extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super(`${location.origin} does not answer`, { cause });
    this.name = 'NoAnswer';
  }
}

/**
 * The same call may be answered later.
 * @param {unknown} error
 */
export function mayPass(error) {
  return error instanceof NoAnswer || (error instanceof Refused && (error.status >= 500 || error.status === 429));
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
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const { response, text } = await answerTo(new Request(path, { headers: shown, cache: 'no-store', signal }));
    ahead_ms = Date.parse(response.headers.get('date') ?? '') - Date.now() || 0;
    const body = parse(text);
    if (response.ok && body !== undefined) return body;
    throw new Refused(body?.code === undefined ? unexpected(response.status) : body, response.headers.get('retry-after'));
  };
  return {
    /** The time by the clock of who answers, milliseconds: that of this machine may be wrong. */
    now: () => Date.now() + ahead_ms,
    /**
     * Rejects with `Refused` or `NoAnswer`.
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

/** @param {Request} request */
async function answerTo(request) {
  try {
    const response = await fetch(request);
    return { response, text: await response.text() };
  } catch (error) {
    throw new NoAnswer(error);
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * What stands between may answer in its own words.
 * @param {number} status
 */
function unexpected(status) {
  return /** @type {Problem} */ ({ status, detail: `the answer was ${status}, and not one of bootplane's` });
}

/**
 * What to tell people of something that failed.
 * @param {unknown} error
 */
export function whyNot(error) {
  // biome-ignore lint/suspicious/noConsole: a fault of the page itself, with where it is
  if (!(error instanceof Refused || error instanceof NoAnswer)) console.error(error);
  return error instanceof Error ? error.message : String(error);
}
