import { el } from './dom.js';

/**
 * The field that says which site is shown. What the fleet has is offered; any name may be typed.
 * @param {string} site
 * @param {{ choose: (site: string) => void, sites: () => Promise<string[]> }} options
 */
export function siteControl(site, { choose, sites }) {
  const offered = el('datalist', { id: 'sites' });
  const offer = async () => {
    const names = await sites().catch(() => []);
    offered.replaceChildren(...names.map((value) => el('option', { value })));
  };
  const chosen = () => {
    const named = input.value.trim();
    if (named !== '') choose(named);
  };
  const input = el('input', {
    id: 'site',
    list: 'sites',
    value: site,
    autocomplete: 'off',
    spellcheck: 'false',
    size: '14',
    change: chosen,
    focus: () => void offer(),
  });
  return el('label', {}, 'Site ', input, offered);
}
