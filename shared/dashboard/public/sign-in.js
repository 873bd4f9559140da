import { el } from './dom.js';

/** @import { Session } from './session.js' */

/**
 * The form that asks who somebody is.
 * @param {{ why: string | undefined, submit: (session: Session, keep: boolean) => void }} options `why`: what is wrong with what was entered before
 */
export function signInForm({ why, submit }) {
  const plain = { autocomplete: 'off', spellcheck: 'false' };
  const credential = el('input', {
    id: 'credential',
    type: 'password',
    required: true,
    pattern: '[\\x20-\\x7e]*',
    title: 'A credential has only the characters of ASCII',
    ...plain,
  });
  const fleet = el('input', { id: 'fleet', placeholder: 'only for a credential of several fleets', ...plain });
  const keep = el('input', { id: 'keep', type: 'checkbox' });
  /** @param {Event} event */
  const enter = (event) => {
    event.preventDefault();
    const named = fleet.value.trim();
    submit({ credential: credential.value.trim(), ...(named === '' ? {} : { fleet: named }) }, keep.checked);
  };
  return el(
    'form',
    { class: 'sign-in', submit: enter },
    el('h2', {}, 'Sign in'),
    el('p', { class: 'quiet' }, 'The page only reads. A key that can do no more is enough:'),
    el('pre', {}, 'bootplane keys create viewer --label dashboard'),
    why === undefined ? undefined : el('p', { class: 'bad', role: 'alert' }, why),
    el('label', {}, 'Credential: an issued key, the fleet key, or a JWT', credential),
    el('label', {}, 'Fleet', fleet),
    el('label', { class: 'beside' }, keep, 'Keep it until this tab is closed'),
    el('button', { class: 'primary', id: 'sign-in' }, 'Sign in'),
  );
}

/**
 * For an admin, who may look into each fleet.
 * @param {readonly { fleet: string, closed_at?: string }[]} fleets
 * @param {(fleet: string) => void} choose
 */
export function fleetChoice(fleets, choose) {
  const open = fleets.filter(({ closed_at }) => closed_at === undefined);
  return el(
    'section',
    {},
    el('h2', {}, 'Fleets'),
    open.length === 0
      ? el('p', { class: 'quiet' }, 'No fleet was made here yet: bootplane fleet create NAME makes one.')
      : el(
          'ul',
          { class: 'notes' },
          ...open.map(({ fleet }) => el('li', {}, el('button', { class: 'plain', click: () => choose(fleet) }, fleet))),
        ),
  );
}
