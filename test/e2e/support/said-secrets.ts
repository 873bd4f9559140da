import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SETTINGS } from '../../../runtime-node/settings.ts';
import { secretIn } from '../../support/planted-secrets.ts';

/** Files that hold a secret because that is what they are for. */
const KEPT_SECRET = new Set(['fleet.key', 'member.json', 'member.copy.json']);
/** Artifacts and databases of a size that no test fills with secrets. */
const LARGEST = 8 * 1024 * 1024;

/** The secrets that the environment of a process gives it, passwords in URLs among them. */
export function secretsOf(env: Readonly<Record<string, string>>): string[] {
  const names = SETTINGS.filter(({ secret }) => secret === true).flatMap(({ env: name, aliases = [] }) => [name, ...aliases]);
  return names.flatMap((name) => {
    const value = env[name];
    if (value === undefined) return [];
    return URL.canParse(value) ? [decodeURIComponent(new URL(value).password)] : [value];
  });
}

/** Rejects when what a program wrote, or a file in its directory, holds a secret. */
export async function refuseSaidSecrets(output: string, secrets: readonly string[], dataDir?: string): Promise<void> {
  refuse('its output', output, secrets);
  if (dataDir === undefined) return;
  for (const path of await files(dataDir)) refuse(path, await readFile(path, 'latin1').catch(() => ''), secrets);
}

function refuse(where: string, text: string, secrets: readonly string[]): void {
  const found = secretIn(text, secrets);
  if (found === undefined) return;
  const at = Math.max(0, text.indexOf(found) - 200);
  throw new Error(`${where} holds the secret ${found.slice(0, 12)}…: ${text.slice(at, at + 400)}`);
}

/** A test may have removed the directory, or part of it. */
async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  const paths = entries.filter((one) => one.isFile() && !KEPT_SECRET.has(one.name)).map((one) => join(one.parentPath, one.name));
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path).catch(() => undefined))?.size ?? 0));
  return paths.filter((_, index) => (sizes[index] ?? 0) <= LARGEST);
}
