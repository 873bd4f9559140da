import { describe, expect, it } from 'vitest';
import { MARK_NAME } from '../../runtime-node/adapters/child-process-mark.ts';
import { warnOfBackendSettings } from '../../runtime-node/backend-settings.ts';
import { ConfigError, readSettings, refuseUnusable, SETTINGS } from '../../runtime-node/config.ts';
import { createServiceEnvironment } from '../../runtime-node/service-environment.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { ClusterPlan } from '../../shared/contract/plan.ts';

function failure(act: () => unknown): ConfigError {
  try {
    act();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

import { recordingLog } from '../support/recording-log.ts';

describe('defaults', () => {
  it('are those of the contract', () => {
    expect(readSettings({ HOME: '/home/ada' })).toEqual({
      data_dir: '/home/ada/.local/state/bootplane',
      host: '0.0.0.0',
      port: 7420,
      fleet: 'default',
      site: 'default',
      capabilities: [],
      lead: true,
      mdns: true,
      insecure_http: false,
      interfaces: [],
      jwt_skew_seconds: 60,
      peers: [],
      rate_limit: 500,
      ttl_seconds: 15,
      write_budget: 172_800_000,
      keep_events: 10_000,
      keep_event_days: 90,
      keep_lost_days: 30,
      keep_left_days: 7,
      log: 'text',
    });
  });

  it('put the data directory below an absolute XDG_STATE_HOME and ignore a relative one', () => {
    expect(readSettings({ HOME: '/h', XDG_STATE_HOME: '/state' }).data_dir).toBe('/state/bootplane');
    expect(readSettings({ HOME: '/h', XDG_STATE_HOME: 'state' }).data_dir).toBe('/h/.local/state/bootplane');
  });

  it('are not disturbed by what a node gives to its services: a command may run inside one', async () => {
    const keys = await deriveFleetKeys('default', 'a fleet key that is only for tests');
    const place = { node_id: 'n1', site: 'berlin', url: () => 'http://127.0.0.1:7420', keys };
    const { services } = ClusterPlan.parse({ services: [{ name: 'api', version: '1', command: ['api'] }] });
    const [given] = await Promise.all(services.map(createServiceEnvironment(place)));
    const env = { HOME: '/h', ...given, [MARK_NAME]: 'v1:a:b:c:d:e:f' };
    expect(readSettings(env)).toMatchObject({ node_id: 'n1', site: 'berlin', url: 'http://127.0.0.1:7420' });
  });

  it('hold for a variable that is set to nothing', () => {
    expect(readSettings({ HOME: '/h', BOOTPLANE_PORT: '', BOOTPLANE_CLOUD_URL: '', BOOTPLANE_FUTURE: '' })).toEqual(
      readSettings({ HOME: '/h' }),
    );
  });
});

describe('order', () => {
  it('is flag, environment, default', () => {
    const env = { HOME: '/h', BOOTPLANE_PORT: '1000', BOOTPLANE_SITE: 'from-env' };
    expect(readSettings(env, { port: '2000' })).toMatchObject({ port: 2000, site: 'from-env', fleet: 'default' });
  });

  it('takes the first of two names of one setting', () => {
    const keys = { HOME: '/h' };
    const env = { ...keys, S3_ENDPOINT: 'http://second', MINIO_ENDPOINT: 'http://first' };
    expect(readSettings(env).s3_endpoint).toBe('http://first');
    expect(readSettings({ ...keys, S3_ENDPOINT: 'http://second' }).s3_endpoint).toBe('http://second');
  });
});

describe('values', () => {
  it('are read in their type', () => {
    const env = {
      BOOTPLANE_DATA_DIR: 'state',
      BOOTPLANE_LEAD: 'off',
      BOOTPLANE_CAPABILITIES: 'camera, gpu ,,',
      BOOTPLANE_PEERS: 'http://10.0.0.1:7420,https://node.example/',
      BOOTPLANE_CLOUD_URL: 'https://Control.Example',
      BOOTPLANE_TTL_SECONDS: '30',
    };
    expect(readSettings(env, {}, '/srv')).toMatchObject({
      data_dir: '/srv/state',
      lead: false,
      mdns: true,
      capabilities: ['camera', 'gpu'],
      peers: ['http://10.0.0.1:7420', 'https://node.example'],
      cloud_url: 'https://control.example',
      ttl_seconds: 30,
    });
  });

  it.each([
    ['BOOTPLANE_PORT', '70000', 'from 0 to 65535'],
    ['BOOTPLANE_PORT', '80a', 'whole number'],
    ['BOOTPLANE_PORT', '-1', 'whole number'],
    ['BOOTPLANE_TTL_SECONDS', '0', 'from 1 to'],
    ['BOOTPLANE_LEAD', 'yes', 'on or off'],
    ['BOOTPLANE_LOG', 'xml', 'text or json'],
    ['BOOTPLANE_SITE', 'a b', 'letter or digit'],
    ['BOOTPLANE_HOST', 'http://0.0.0.0', 'without port and scheme'],
    ['BOOTPLANE_CAPABILITIES', 'ok,not ok', 'letter or digit'],
    ['BOOTPLANE_PEERS', 'http://a:1,b', 'http:// or https://'],
    ['BOOTPLANE_ADVERTISE_URL', 'http://a:1/path', 'without a path'],
    ['BOOTPLANE_CLOUD_URL', 'http://control.example', 'https://'],
  ])('%s=%s is refused with what is allowed', (name, value, allowed) => {
    const error = failure(() => readSettings({ HOME: '/h', [name]: value }));
    expect(error.kind).toBe('bad_value');
    expect(error.message).toContain(`${name} is "${value}"`);
    expect(error.message).toContain(allowed);
  });

  it('allow plain http to the cloud on this machine', () => {
    expect(readSettings({ HOME: '/h', BOOTPLANE_CLOUD_URL: 'http://127.0.0.1:8787' }).cloud_url).toBe('http://127.0.0.1:8787');
    expect(readSettings({ HOME: '/h', BOOTPLANE_CLOUD_URL: 'http://[::1]:8787' }).cloud_url).toBe('http://[::1]:8787');
    expect(failure(() => readSettings({ HOME: '/h', BOOTPLANE_CLOUD_URL: 'http://127.0.0.1.example' })).kind).toBe('bad_value');
  });

  it('that are wrong are all named at once, a flag by its flag', () => {
    const { message } = failure(() => readSettings({ HOME: '/h', BOOTPLANE_SITE: ' ' }, { port: 'x' }));
    expect(message).toContain('--port is "x"');
    expect(message).toContain('BOOTPLANE_SITE is " "');
  });

  it('of secrets are never shown, nor passwords inside URLs', () => {
    const { message } = failure(() =>
      readSettings({ HOME: '/h', BOOTPLANE_API_KEY: 'hunter2', BOOTPLANE_CLOUD_URL: 'https://ada:hunter3@x.example' }),
    );
    expect(message).toContain('BOOTPLANE_API_KEY is (hidden): it must have at least 20 characters');
    expect(message).toContain('must not hold a user name or password');
    expect(message).not.toContain('hunter');
  });
});

describe('names', () => {
  it('that do not exist are refused, with the nearest that does', () => {
    const error = failure(() => readSettings({ HOME: '/h', BOOTPLANE_CLOUDURL: 'x', BOOTPLANE_WHATEVER_ELSE: 'y' }));
    expect(error.kind).toBe('unknown_setting');
    expect(error.message).toContain('BOOTPLANE_CLOUDURL in the environment is no setting of bootplane; did you mean BOOTPLANE_CLOUD_URL?');
    expect(error.message).toMatch(/BOOTPLANE_WHATEVER_ELSE in the environment is no setting of bootplane$/m);
  });

  it.each([
    ['BOOTPLANE_SECRET', 'BOOTPLANE_API_KEY, or in fleet.key'],
    ['BOOTPLANE_SECRET_PREVIOUS', 'BOOTPLANE_API_KEY, or in fleet.key'],
    ['BOOTPLANE_JWKS', 'BOOTPLANE_JWKS_FILE or BOOTPLANE_JWKS_URL'],
  ])('of the Worker are refused with what a node has instead: %s', (name, instead) => {
    const { message } = failure(() => readSettings({ HOME: '/h', [name]: 'hidden' }));
    expect(message).toMatch(new RegExp(`^${name} in the environment is a setting of the Worker, not of a node: .*${instead}$`, 'm'));
    expect(message).not.toMatch(/did you mean|hidden/);
  });

  it('that a node gives to its services are left alone', () => {
    expect(() => readSettings({ HOME: '/h', BOOTPLANE_SERVICE: 'hello', BOOTPLANE_SERVICE_VERSION: '1' })).not.toThrow();
  });

  it('are each used once', () => {
    const names = SETTINGS.flatMap(({ env, aliases = [] }) => [env, ...aliases]);
    const flags = SETTINGS.flatMap(({ flag }) => (flag === undefined ? [] : [flag]));
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(flags).size).toBe(flags.length);
  });

  it('of secrets are no flags, since a command line can be read by others', () => {
    expect(SETTINGS.filter(({ secret, flag }) => secret === true && flag !== undefined)).toEqual([]);
  });
});

describe('JWT mode', () => {
  const JWT = { BOOTPLANE_JWT_ISSUER: 'https://id.example.com/', BOOTPLANE_JWT_AUDIENCE: 'bootplane' };
  const URL_OF_KEYS = 'https://id.example.com/jwks.json';

  it('is whole with keys, an issuer and an audience', () => {
    for (const keys of [{ BOOTPLANE_JWKS_URL: URL_OF_KEYS }, { BOOTPLANE_JWKS_FILE: 'keys.json' }]) {
      const settings = readSettings({ HOME: '/h', ...JWT, ...keys });
      expect(() => refuseUnusable(settings)).not.toThrow();
      expect(settings).toMatchObject({ jwt_skew_seconds: 60, insecure_http: false });
    }
  });

  it.each([
    [{ BOOTPLANE_JWKS_URL: URL_OF_KEYS }, ['BOOTPLANE_JWKS_URL is set without BOOTPLANE_JWT_ISSUER', 'without BOOTPLANE_JWT_AUDIENCE']],
    [{ ...JWT, BOOTPLANE_JWT_AUDIENCE: '', BOOTPLANE_JWKS_FILE: 'k' }, ['BOOTPLANE_JWKS_FILE is set without BOOTPLANE_JWT_AUDIENCE']],
    [JWT, ['BOOTPLANE_JWT_ISSUER is set without the keys that sign the tokens: set BOOTPLANE_JWKS_URL or BOOTPLANE_JWKS_FILE']],
    [{ ...JWT, BOOTPLANE_JWKS_URL: URL_OF_KEYS, BOOTPLANE_JWKS_FILE: 'k' }, ['are both set: name one place for the keys']],
  ])('is refused half set or twice: %j', (env, lines) => {
    const error = failure(() => refuseUnusable(readSettings({ HOME: '/h', ...env })));
    expect(error.kind).toBe('bad_value');
    for (const line of lines) expect(error.message).toContain(line);
  });

  it.each(['http://id.example.com/jwks.json', 'jwks.json', 'file:///k', 'https://a:b@id.example.com/'])('takes no keys from %s', (url) => {
    const error = failure(() => readSettings({ HOME: '/h', ...JWT, BOOTPLANE_JWKS_URL: url }));
    expect(error.message).toMatch(/^BOOTPLANE_JWKS_URL is .*: it must/);
    expect(error.message).not.toContain('a:b@');
  });

  it('allows clocks to differ by ten minutes at most', () => {
    expect(failure(() => readSettings({ HOME: '/h', BOOTPLANE_JWT_SKEW_SECONDS: '601' })).message).toContain('from 0 to 600');
  });

  it('stops no node that does not ask for it', () => {
    expect(() => refuseUnusable(readSettings({ HOME: '/h', MINIO_REGION: 'eu-central-1' }))).not.toThrow();
  });
});

describe('TLS settings', () => {
  const PAIR = { BOOTPLANE_TLS_CERT: '/etc/node.crt', BOOTPLANE_TLS_KEY: '/etc/node.key' };
  const read = (env: Record<string, string>) => refuseUnusable(readSettings({ HOME: '/h', ...env }));

  it.each([
    PAIR,
    { ...PAIR, BOOTPLANE_ADVERTISE_URL: 'https://192.0.2.9:7420' },
    { ...PAIR, BOOTPLANE_ADVERTISE_URL: 'http://127.0.0.1:7420' },
    { BOOTPLANE_ADVERTISE_URL: 'https://behind-a-proxy.example' },
  ])('are taken: %o', (env) => {
    expect(() => read(env)).not.toThrow();
  });

  it.each<[Record<string, string>, string]>([
    [{ BOOTPLANE_TLS_CERT: '/etc/node.crt' }, 'BOOTPLANE_TLS_CERT is set without BOOTPLANE_TLS_KEY'],
    [{ BOOTPLANE_TLS_KEY: '/etc/node.key' }, 'BOOTPLANE_TLS_KEY is set without BOOTPLANE_TLS_CERT'],
    [{ ...PAIR, BOOTPLANE_ADVERTISE_URL: 'http://192.0.2.9:7420' }, 'BOOTPLANE_ADVERTISE_URL is plain http'],
  ])('that nobody could reach this node with are refused: %o', (env, said) => {
    expect(failure(() => read(env)).message).toContain(said);
  });
});

describe('externals', () => {
  it('are given by their settings', () => {
    const settings = readSettings({
      HOME: '/h',
      S3_ENDPOINT: 'http://store:9000',
      MINIO_ACCESS_KEY: 'AK',
      MINIO_SECRET_KEY: 'SK',
      AMQP_URL: 'amqps://ada:hunter2@mq/fleet',
      RABBITMQ_MANAGEMENT_URL: 'http://mq:15672',
      WEAVIATE_URL: 'http://index:8080',
    });
    expect(settings).toMatchObject({
      s3_endpoint: 'http://store:9000',
      amqp_url: 'amqps://ada:hunter2@mq/fleet',
      weaviate_url: 'http://index:8080',
    });
  });

  it.each([
    [
      { MINIO_ENDPOINT: 'http://store:9000', MINIO_ACCESS_KEY: 'AK' },
      'MINIO_ENDPOINT (or S3_ENDPOINT) is set and MINIO_SECRET_KEY (or S3_SECRET_KEY) is not: set both, or neither',
    ],
    [{ RABBITMQ_MANAGEMENT_URL: 'http://mq:15672' }, 'RABBITMQ_MANAGEMENT_URL is set and AMQP_URL is not: set both, or neither'],
    [{ S3_ENDPOINT: 'store:9000', S3_ACCESS_KEY: 'AK', S3_SECRET_KEY: 'SK' }, 'it must be a URL that starts with http:// or https://'],
    [{ WEAVIATE_URL: 'http://index:8080/v1' }, "WEAVIATE_URL can't be used: it must end after the host and port, without a path"],
    [{ AMQP_URL: 'http://ada:hunter2@mq' }, "AMQP_URL can't be used: it must be a URL that starts with amqp:// or amqps://"],
  ])('%j is refused where a node starts, and no secret is shown', (env, expected) => {
    const settings = readSettings({ HOME: '/h', ...env });
    const { message } = failure(() => refuseUnusable(settings));
    expect(message).toContain(expected);
    expect(message).not.toContain('hunter2');
  });

  it('of which only the keys are given are told, and the embedded default is used', () => {
    const log = recordingLog();
    warnOfBackendSettings(readSettings({ HOME: '/h', S3_ACCESS_KEY: 'AK', WEAVIATE_API_KEY: 'hunter2' }), log);
    expect(log.lines.map(({ message }) => message)).toEqual([
      'MINIO_ACCESS_KEY (or S3_ACCESS_KEY) is set and MINIO_ENDPOINT (or S3_ENDPOINT) is not: the embedded default is used',
      'WEAVIATE_API_KEY is set and WEAVIATE_URL is not: the embedded default is used',
    ]);
  });
});
