import { documentView, NOUNS } from './documents.js';
import { el, show } from './dom.js';
import { eventTable } from './events.js';
import { nodeTable } from './nodes.js';
import { notesOn } from './notes.js';
import { components, noteList, services, tiles, whereabouts } from './overview.js';

/** @import { EventRecord } from '../../contract/event.ts' */
/** @import { Health, SiteState } from '../../contract/status.ts' */
/** @import { Nodes, Published } from './read.js' */

/**
 * The sections of one site. Each is drawn anew only when it would show something else, and says itself when what it shows could
 * not be read.
 * @param {{ main: HTMLElement, where: HTMLElement }} holders
 * @param {{ now: () => number, open: (node_id: string) => void, more: () => void, turnTo: (unheard: boolean) => void }} options
 */
export function createPage({ main, where }, { now, open, more, turnTo }) {
  const parts = {
    state: createPart('div', 'tiles', 'The state of the site'),
    notes: createPart('div', 'to-look-at', ''),
    services: createPart('section', 'services', ''),
    nodes: createPart('section', 'nodes', 'The nodes'),
    components: createPart('section', 'components', ''),
    events: createPart('section', 'events', 'The events'),
  };
  const documents = NOUNS.map((noun) => ({ noun, part: createPart('section', noun.kind, `The ${noun.title}`) }));
  const { events, ...before } = parts;
  const both = el('div', { class: 'documents' }, ...documents.map(({ part }) => part.section));
  main.replaceChildren(...Object.values(before).map(({ section }) => section), both, events.section);
  /** @type {{ health?: Health, state?: SiteState }} */
  const known = {};

  function drawNotes() {
    const noted = notesOn(known.state, known.health);
    parts.notes.draw(noted, () => noteList(noted));
    parts.notes.section.hidden = noted.length === 0;
  }

  /** @param {Health} health */
  function drawHealth(health) {
    known.health = health;
    const fleet = health.fleet ?? known.state?.fleet ?? '';
    show(where, JSON.stringify([fleet, health]), () => whereabouts(fleet, health));
    drawNotes();
  }

  /** @param {SiteState} state */
  function drawState(state) {
    known.state = state;
    document.title = `${state.site} · ${state.fleet} · bootplane`;
    parts.state.draw(state, () => [el('div', { class: 'tiles' }, ...tiles(state))]);
    parts.services.draw(state.services, () => services(state));
    parts.components.draw(state.components, () => components(state));
    if (known.health !== undefined) drawHealth(known.health);
  }

  return {
    health: { draw: drawHealth, miss: () => {} },
    state: { draw: drawState, miss: parts.state.miss },
    nodes: {
      draw: (/** @type {Nodes} */ found) => parts.nodes.draw(found, () => nodeTable(found, { open, more, turnTo, now: now() })),
      miss: parts.nodes.miss,
    },
    events: {
      draw: (/** @type {readonly EventRecord[]} */ found) => parts.events.draw(found, () => eventTable(found, now())),
      miss: parts.events.miss,
    },
    /** In the order of `NOUNS`. */
    documents: documents.map(({ noun, part }) => ({
      draw: (/** @type {Published} */ found) => part.draw(found, () => documentView(noun, found, now())),
      miss: part.miss,
    })),
  };
}

/**
 * @param {'div' | 'section'} tag
 * @param {string} id
 * @param {string} name what it shows, as a sentence begins with it
 */
function createPart(tag, id, name) {
  const body = el('div', {});
  const trouble = el('p', { class: 'trouble bad', role: 'status' });
  const section = el(tag, { id }, body, trouble);
  return {
    section,
    /** @param {unknown} shown what the content depends on @param {() => Node[]} content */
    draw(shown, content) {
      trouble.textContent = '';
      show(body, JSON.stringify(shown), content);
    },
    /** @param {string} why */
    miss(why) {
      const stays = body.childElementCount === 0 ? '' : ' What is shown is from before.';
      trouble.textContent = `${name} could not be read: ${why}.${stays}`;
    },
  };
}
