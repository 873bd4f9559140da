// @ts-check
/** The oldest Node.js that the published package runs on, as `engines` in package.json says. */
const LEAST = [22, 12];

const WHAT_TO_DO = 'Install a newer one, or put it first in PATH';

/**
 * What to tell a person whose Node.js (`22.12.0`) is too old for the published package; undefined when it is not. npm only
 * warns at the install.
 *
 * @param {string} version
 * @returns {string | undefined}
 */
export function tooOld(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [leastMajor = 0, leastMinor = 0] = LEAST;
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return undefined;
  return `error: this is Node.js ${version}, and bootplane needs ${LEAST.join('.')} or later\n${WHAT_TO_DO}.\n`;
}

/**
 * What to tell a person whose Node.js can't run a checkout, which is TypeScript as it is; undefined when it can. `typescript` is
 * `process.features.typescript`: a flag may also have turned it off or, in an older one, on.
 *
 * @param {string} version
 * @param {string | boolean | undefined} typescript
 * @returns {string | undefined}
 */
export function cannotRunCheckout(version, typescript) {
  if (typescript) return undefined;
  const needed = 'a checkout of bootplane needs one that runs TypeScript as it is: 22.18 or later, and of 23 the 23.6 or later';
  return `error: this is Node.js ${version}, and ${needed}\n${WHAT_TO_DO}; npm start and npm run bootplane bring their own.\n`;
}
