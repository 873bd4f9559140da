import type { Log } from '../shared/ports/log.ts';
import { readOrigin, SETTINGS, type SettingName, type SettingValues } from './settings.ts';

type BackendSettings = Omit<SettingValues, 'data_dir'>;
/** What stands in the pairs below. */
type BackendSetting = Exclude<SettingName, 'data_dir'>;

/** The first is of no use without the second. */
const NEEDED_WITH: readonly (readonly [BackendSetting, BackendSetting])[] = [
  ['s3_endpoint', 's3_access_key'],
  ['s3_endpoint', 's3_secret_key'],
  ['rabbitmq_management_url', 'amqp_url'],
];

/** Belongs to the second, and does nothing where that is not set. */
const IDLE_WITHOUT: readonly (readonly [BackendSetting, BackendSetting])[] = [
  ['s3_access_key', 's3_endpoint'],
  ['s3_secret_key', 's3_endpoint'],
  ['s3_region', 's3_endpoint'],
  ['weaviate_api_key', 'weaviate_url'],
];

const AMQP = /^amqps?:\/\/[^/?#\s]+(\/[^?#\s]*)?(\?[^#\s]*)?$/i;
const MANAGEMENT = /^https?:\/\/[^/?#\s]+\/?$/i;

/** What is wrong with the settings of the backends, a line each. A secret is never shown. */
export function wrongBackends(settings: BackendSettings): string[] {
  const { s3_endpoint, weaviate_url, amqp_url, rabbitmq_management_url } = settings;
  const origins = [['s3_endpoint', s3_endpoint] as const, ['weaviate_url', weaviate_url] as const];
  return [
    ...NEEDED_WITH.filter(([set, needed]) => settings[set] !== undefined && settings[needed] === undefined).map(
      ([set, needed]) => `${nameOf(set)} is set and ${nameOf(needed)} is not: set both, or neither`,
    ),
    ...origins.flatMap(([name, value]) => {
      const found = value === undefined ? '' : readOrigin(value);
      return typeof found === 'string' ? [] : [`${nameOf(name)} can't be used: it ${found.wrong}`];
    }),
    ...(amqp_url === undefined || AMQP.test(amqp_url)
      ? []
      : [`${nameOf('amqp_url')} can't be used: it must be a URL that starts with amqp:// or amqps://`]),
    ...(rabbitmq_management_url === undefined || MANAGEMENT.test(rabbitmq_management_url)
      ? []
      : [`${nameOf('rabbitmq_management_url')} can't be used: it must start with http:// or https:// and end after the host and port`]),
  ];
}

/** Nothing falls back in silence: keys of a backend that is not named are told. */
export function warnOfBackendSettings(settings: BackendSettings, log: Pick<Log, 'warn'>): void {
  for (const [set, needed] of IDLE_WITHOUT) {
    if (settings[set] === undefined || settings[needed] !== undefined) continue;
    log.warn(`${nameOf(set)} is set and ${nameOf(needed)} is not: the embedded default is used`);
  }
}

/** With the other name that it may have been given by. */
function nameOf(name: SettingName): string {
  const { env = name, aliases = [] } = SETTINGS.find((info) => info.name === name) ?? {};
  return aliases.length === 0 ? env : `${env} (or ${aliases.join(', ')})`;
}
