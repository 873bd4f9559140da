import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type * as z from 'zod';
import { isLoopback } from '../shared/contract/loopback.ts';
import { wrongJwtSettings } from '../shared/supervisor/tokens/settings.ts';
import { wrongBackends } from './backend-settings.ts';
import { nearest } from './nearest.ts';
import { SETTINGS, type SettingInfo, type SettingName, SettingsSchema } from './settings.ts';

export { SETTINGS, type SettingInfo, type SettingName } from './settings.ts';

/** Every setting with its value. A setting that is not set and has no default is absent. */
export type Settings = Omit<z.output<typeof SettingsSchema>, 'data_dir'> & { /** Absolute. */ readonly data_dir: string };

/** What a node starts with. */
export type Config = Settings & {
  /** Documents for an empty fleet (generation 0): the contents of `plan_file` and `profile_file`, read and checked. */
  readonly seeds: { readonly plan?: Record<string, unknown>; readonly profile?: Record<string, unknown> };
};

export type Environment = Readonly<Record<string, string | undefined>>;
export type Flags = Partial<Readonly<Record<SettingName, string>>>;

/** A setting that can't be used. `message` names all that were found, one per line. */
export class ConfigError extends Error {
  readonly kind: 'unknown_setting' | 'bad_value';
  constructor(kind: ConfigError['kind'], lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'ConfigError';
    this.kind = kind;
  }
}

/** Names that a node gives to its services; a command that runs inside a service must not stumble over them. */
const GIVEN_TO_SERVICES = /^BOOTPLANE_(MARK$|TOKEN$|SERVICE(_|$))/;

/**
 * Reads all settings: a flag wins over the environment, and that over the default. An empty variable
 * counts as not set. Throws `ConfigError` for a `BOOTPLANE_*` name that does not exist and for values that are not allowed.
 */
export function readSettings(env: Environment, flags: Flags = {}, cwd: string = process.cwd()): Settings {
  refuseUnknownNames(env);
  const sources = SETTINGS.map((info) => [info, findSource(info, env, flags)] as const);
  const input = Object.fromEntries(sources.flatMap(([{ name }, source]) => (source === undefined ? [] : [[name, source.text]])));
  const parsed = SettingsSchema.safeParse(input);
  if (!parsed.success) throw badValues(parsed.error.issues, sources);
  return { ...parsed.data, data_dir: resolve(cwd, parsed.data.data_dir ?? defaultDataDir(env)) };
}

/** Settings that the Worker alone has (docs/deploy.md), with what a node has in their place. */
const OF_THE_WORKER: Readonly<Record<string, string>> = {
  BOOTPLANE_SECRET: 'fleet keys are sealed under it there; a node has its fleet key in BOOTPLANE_API_KEY, or in fleet.key',
  BOOTPLANE_SECRET_PREVIOUS: 'fleet keys are sealed under it there; a node has its fleet key in BOOTPLANE_API_KEY, or in fleet.key',
  BOOTPLANE_JWKS: 'it holds the keys that sign JWTs there; a node reads them from BOOTPLANE_JWKS_FILE or BOOTPLANE_JWKS_URL',
};

function refuseUnknownNames(env: Environment): void {
  const known = SETTINGS.flatMap(({ env: name, aliases = [] }) => [name, ...aliases]);
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith('BOOTPLANE_') && !known.includes(name) && !GIVEN_TO_SERVICES.test(name) && env[name] !== '',
  );
  if (unknown.length === 0) return;
  const lines = unknown.map((name) => {
    const instead = OF_THE_WORKER[name];
    if (instead !== undefined) return `${name} in the environment is a setting of the Worker, not of a node: ${instead}`;
    const close = nearest(name, known);
    return `${name} in the environment is no setting of bootplane${close === undefined ? '' : `; did you mean ${close}?`}`;
  });
  throw new ConfigError('unknown_setting', [...lines, 'Unset or correct it. `bootplane up --help` lists the settings.']);
}

interface Source {
  /** The flag or variable that the text came from. */
  readonly from: string;
  readonly text: string;
}

function findSource(info: SettingInfo & { name: SettingName }, env: Environment, flags: Flags): Source | undefined {
  const flag = flags[info.name];
  if (flag !== undefined) return { from: `--${info.flag ?? info.name}`, text: flag };
  for (const name of [info.env, ...(info.aliases ?? [])]) {
    const text = env[name];
    if (text !== undefined && text !== '') return { from: name, text };
  }
  return undefined;
}

function badValues(
  issues: readonly z.core.$ZodIssue[],
  sources: readonly (readonly [SettingInfo & { name: SettingName }, Source | undefined])[],
) {
  const lines = issues.map(({ path, message }) => {
    const [info, source] = sources.find(([{ name }]) => name === path[0]) ?? [];
    if (info === undefined || source === undefined) return `${path.join('.')}: ${message}`;
    return `${source.from} is ${shown(info, source.text)}: it ${message}`;
  });
  return new ConfigError('bad_value', lines);
}

/** A secret's value is never shown, nor a password inside a URL. */
function shown(info: SettingInfo, text: string): string {
  if (info.secret === true) return '(hidden)';
  return JSON.stringify(text.replaceAll(/\/\/[^/@\s]*@/g, '//(hidden)@'));
}

function defaultDataDir(env: Environment): string {
  const state = env.XDG_STATE_HOME;
  // The XDG specification says that a relative path is to be ignored.
  if (state?.startsWith('/')) return join(state, 'bootplane');
  return join(env.HOME || homedir(), '.local', 'state', 'bootplane');
}

/**
 * Throws `ConfigError` when a node can't start with these: a backend, or a way to check JWTs, that is named half or twice.
 * Commands to a running node do not look at those: other programs know the same names.
 */
export function refuseUnusable(settings: Settings): void {
  const { jwks_url, jwks_file, jwt_issuer: issuer, jwt_audience: audience } = settings;
  const places = { BOOTPLANE_JWKS_URL: jwks_url, BOOTPLANE_JWKS_FILE: jwks_file };
  const set = Object.entries(places).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const wrong = [
    ...wrongBackends(settings),
    ...wrongTls(settings),
    ...wrongJwtSettings({ sources: Object.keys(places), set, issuer, audience }),
  ];
  if (wrong.length > 0) throw new ConfigError('bad_value', wrong);
}

function wrongTls({ tls_cert, tls_key, advertise_url }: Settings): string[] {
  if ((tls_cert === undefined) !== (tls_key === undefined)) {
    const [given, missing] =
      tls_key === undefined ? ['BOOTPLANE_TLS_CERT', 'BOOTPLANE_TLS_KEY'] : ['BOOTPLANE_TLS_KEY', 'BOOTPLANE_TLS_CERT'];
    return [`${given} is set without ${missing}: a certificate is of no use without its key`];
  }
  const isPlain = advertise_url?.startsWith('http:') === true && !isLoopback(advertise_url);
  if (tls_cert === undefined || !isPlain) return [];
  return [
    'BOOTPLANE_ADVERTISE_URL is plain http, but with BOOTPLANE_TLS_CERT other machines are answered over https alone: set it to https://',
  ];
}
