import { counted } from './format.js';

/** @import { Health, SiteState } from '../../contract/status.ts' */

/**
 * What somebody should look at, with what to do about it. Empty when there is nothing.
 * @param {SiteState | undefined} state
 * @param {Health | undefined} health of whoever answers
 * @returns {string[]}
 */
export function notesOn(state, health) {
  return [...(health === undefined ? [] : notesOnNode(health)), ...(state === undefined ? [] : notesOnSite(state))];
}

/** @param {Health} health */
function notesOnNode({ waiting_for = [], set_aside = [], backlog = {} }) {
  return [
    ...waiting_for.map((what) => `This node waits for ${what}.`),
    ...set_aside.map(
      ({ file, why, kept_as }) => `${file} could not be used: ${why}.${kept_as === undefined ? '' : ` It is kept as ${kept_as}.`}`,
    ),
    ...Object.entries(backlog).flatMap(([component, status]) => notesOnBacklog(component, status)),
  ];
}

/**
 * @param {string} component
 * @param {NonNullable<NonNullable<Health['backlog']>['storage']>} status
 */
function notesOnBacklog(component, { presence, reason, waiting, conflicts }) {
  const why = reason === undefined ? '' : ` (${reason})`;
  return [
    ...(presence === 'present' ? [] : [`The external ${component} is ${presence}${why}; ${waiting} wait here to go over.`]),
    ...(conflicts > 0
      ? [`${counted(conflicts, 'thing')} of ${component} did not go over: bootplane backlog shows them, and how to settle it.`]
      : []),
  ];
}

/** @param {SiteState} state */
function notesOnSite({ leader, conflicts, emergencies = [] }) {
  const lost = conflicts.plan + conflicts.profile;
  return [
    ...(leader?.provisional === true
      ? ['The leader leads without the confirmation of the cloud: work goes on, and publishing waits for the cloud.']
      : []),
    ...(lost === 0
      ? []
      : [
          `${counted(lost, 'version')} lost to another after a network was cut: bootplane conflicts shows both sides, and how to settle it.`,
        ]),
    ...emergencies.map(
      ({ kind, n, base_generation, published_by }) =>
        `The site follows emergency version ${n} of its ${kind}, made by ${published_by} on generation ${base_generation}, until the cloud publishes a newer generation.`,
    ),
  ];
}
