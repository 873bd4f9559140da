import { mayPass, Refused } from './api.js';

/** @import { Api } from './api.js' */
/** @import { Health } from '../../contract/status.ts' */

/**
 * What whoever answers says of itself. Some nodes do not know a key that another node or the cloud has issued, and tell
 * its holder of the fleet but not of themselves.
 * @param {Api} api
 * @returns {() => Promise<Health>}
 */
export function healthReader(api) {
  let isKnown = true;
  return async () => {
    try {
      if (isKnown) return await api.get('/healthz');
    } catch (error) {
      if (!isUnknown(error)) throw error;
      isKnown = false;
    }
    return api.asStranger('/healthz');
  };
}

/**
 * Whose credential it is: of a fleet, or of an admin who may choose one. Rejects with `Refused` when it opens nothing.
 * @param {Api} api
 * @returns {Promise<{ kind: 'fleet', health: Health, site: string } | { kind: 'admin', fleets: { fleet: string, closed_at?: string }[] }>}
 */
export async function whoAmI(api) {
  const health = await healthReader(api)();
  if (health.fleet !== undefined) return { kind: 'fleet', health, site: health.site ?? (await usualSite(api)) };
  const asked = await api.get('/v1/state').catch((/** @type {unknown} */ error) => error);
  if (!(asked instanceof Error)) return { kind: 'fleet', health, site: await usualSite(api) };
  try {
    return { kind: 'admin', fleets: await fleetsOf(api) };
  } catch (error) {
    // A credential that is not known stays so, whatever the cloud behind this node would say; of who is no admin the first answer says why.
    throw mayPass(error) && !isUnknown(asked) ? error : asked;
  }
}

/** All of them. @param {Api} api */
async function fleetsOf(api) {
  const fleets = [];
  for (let after; ; ) {
    const page = await api.get('/v1/fleets', { limit: 500, after });
    fleets.push(...page.fleets);
    after = page.next;
    if (after === undefined) return fleets;
  }
}

/**
 * The sites of the fleet, as far as 500 nodes tell: for people to choose from.
 * @param {Api} api
 * @returns {Promise<string[]>}
 */
export async function sitesOf(api) {
  const { nodes } = await api.get('/v1/nodes', { limit: 500 });
  return [...new Set(nodes.map((/** @type {{ site: string }} */ { site }) => site))].sort();
}

/** The site to begin with, where nobody has named one. @param {Api} api */
async function usualSite(api) {
  const sites = await sitesOf(api);
  return sites.includes('default') ? 'default' : (sites[0] ?? 'default');
}

/** @param {unknown} error */
function isUnknown(error) {
  return error instanceof Refused && error.status === 401;
}
