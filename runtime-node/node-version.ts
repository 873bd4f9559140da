/** The oldest Node.js that bootplane runs on, as `engines` in package.json says. */
const LEAST = [22, 12] as const;

/** What to tell a person whose Node.js (`22.12.0`) is too old; undefined when it is not. npm only warns at the install. */
export function tooOld(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > LEAST[0] || (major === LEAST[0] && minor >= LEAST[1])) return undefined;
  return `error: this is Node.js ${version}, and bootplane needs ${LEAST.join('.')} or later\nInstall a newer one, or put it first in PATH.\n`;
}
