import { el } from './dom.js';

/** The names that sites may have: `Id` of the contract. */
export const SITE = '[A-Za-z0-9][A-Za-z0-9._\\-]{0,127}';

/** A site can be named in the address, to come back to it or to send it to somebody. */
export function siteOfAddress() {
  const named = new URLSearchParams(location.hash.slice(1)).get('site') ?? '';
  return new RegExp(`^${SITE}$`).test(named) ? named : undefined;
}

/** @param {string | undefined} site undefined takes it out again */
export function showSite(site) {
  history.replaceState(null, '', site === undefined ? location.pathname : `#${new URLSearchParams({ site })}`);
}

/**
 * The field that says which site is shown. What the fleet has is offered; any name may be typed.
 * @param {string} site
 * @param {{ choose: (site: string) => void, sites: () => Promise<string[]> }} options
 */
export function siteControl(site, { choose, sites }) {
  let shown = site;
  const offered = el('datalist', { id: 'sites' });
  const offer = async () => {
    const names = await sites().catch(() => []);
    offered.replaceChildren(...names.map((value) => el('option', { value })));
  };
  const begin = () => {
    if (offered.childElementCount === 0) void offer();
    // What stands in the field would hide all other names.
    input.placeholder = shown;
    input.value = '';
  };
  const chosen = () => {
    const named = input.value.trim();
    if (named !== '' && input.reportValidity()) choose(named);
  };
  const back = () => {
    if (input.value.trim() === '' || !input.checkValidity()) input.value = shown;
  };
  const texts = { autocomplete: 'off', spellcheck: 'false', size: '14', title: 'The name of a site: letters, digits, dots, dashes' };
  const input = el('input', { id: 'site', list: 'sites', value: site, pattern: SITE, ...texts, change: chosen, focus: begin, blur: back });
  const show = (/** @type {string} */ name) => {
    shown = name;
    input.value = name;
  };
  return { label: el('label', {}, 'Site ', input, offered), show };
}
