import * as z from 'zod';
import { MIN_FLEET_KEY_LENGTH } from '../shared/contract/fleet-keys.ts';
import { Id } from '../shared/contract/ids.ts';
import { isPrivateWire } from '../shared/contract/loopback.ts';
import { CREDENTIAL_PER_SECOND } from '../shared/contract/rate-limit.ts';
import { RETENTION_DEFAULTS, RETENTION_LIMITS, type RetentionSettings } from '../shared/decide/retention.ts';
import { WRITE_BUDGET_LIMITS, WRITE_BUDGETS } from '../shared/decide/stretch.ts';
import { DEFAULT_SKEW_SECONDS, MAX_SKEW_SECONDS, whyNotJwksUrl } from '../shared/supervisor/tokens/settings.ts';

/** What is known of a setting beside its type. */
export interface SettingInfo {
  /** Name in the environment. */
  readonly env: string;
  /** Other names that mean the same; the first one that is set wins. */
  readonly aliases?: readonly string[];
  /** Name on the command line, without dashes. Secrets have none: other users can read a command line. */
  readonly flag?: string;
  /** Of a flag that turns something off (`no-…`): what it says in the help. */
  readonly negation?: string;
  /** What the value is called in help. */
  readonly value: string;
  readonly description: string;
  /** The default, as it would be written, or in words when it depends on the machine. */
  readonly default?: string;
  readonly secret?: true;
}

const registry = z.registry<SettingInfo>();

function withDefault<Output>(schema: z.ZodType<Output, string>, value: string, info: Omit<SettingInfo, 'default'>) {
  return schema.prefault(value).register(registry, { ...info, default: value });
}

function optional<Output>(schema: z.ZodType<Output, string>, info: SettingInfo) {
  return schema.optional().register(registry, info);
}

const text = z.string().max(4096);
const secret = z.string().min(1).max(4096);
const id = z.string().pipe(Id);
const switched = z.enum(['on', 'off'], 'must be on or off').transform((value) => value === 'on');

/** A whole number between two bounds, inclusive. */
function whole(min: number, max: number) {
  return z
    .string()
    .refine(
      (value) => /^\d{1,9}$/.test(value) && Number(value) >= min && Number(value) <= max,
      `must be a whole number from ${min} to ${max}`,
    )
    .transform(Number);
}

/** One of what housekeeping keeps, as the Worker has it too. */
function retention(name: keyof RetentionSettings, info: Omit<SettingInfo, 'default'>) {
  return withDefault(whole(...RETENTION_LIMITS[name]), String(RETENTION_DEFAULTS[name]), info);
}

const listenAddress = z
  .string()
  .regex(/^[0-9A-Za-z:._%-]{1,255}$/, 'must be an address or a host name without port and scheme, as 0.0.0.0, ::1 or localhost');

/** An origin: scheme, host and port, nothing behind it. */
const origin = z.string().transform((value, context) => {
  const found = readOrigin(value);
  if (typeof found === 'string') return found;
  context.addIssue({ code: 'custom', message: found.wrong });
  return z.NEVER;
});

const securedOrigin = origin.refine(
  isPrivateWire,
  'must start with https:// (plain http only to this machine), since the certificate is what proves the cloud',
);

/** The origin in a text, or what is wrong with it, in words that go on from `it`. */
export function readOrigin(value: string): string | { wrong: string } {
  if (!URL.canParse(value) || !/^https?:\/\//i.test(value)) return { wrong: 'must be a URL that starts with http:// or https://' };
  const url = new URL(value);
  if (url.username !== '' || url.password !== '') return { wrong: 'must not hold a user name or password' };
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') return { wrong: 'must end after the host and port, without a path' };
  return url.origin;
}

/** Comma-separated; blanks around the items and empty items are ignored. */
function list<Output>(item: z.ZodType<Output, string>) {
  return z
    .string()
    .transform((value) =>
      value
        .split(',')
        .map((one) => one.trim())
        .filter((one) => one !== ''),
    )
    .pipe(z.array(item));
}

const jwksUrl = text.superRefine((value, context) => {
  const why = whyNotJwksUrl(value);
  if (why !== undefined) context.addIssue({ code: 'custom', message: why });
});

/** Every setting, once. The order is that of the help. */
export const SettingsSchema = z.object({
  data_dir: optional(text.min(1), {
    env: 'BOOTPLANE_DATA_DIR',
    flag: 'data-dir',
    value: 'DIR',
    description: 'where this node keeps its state',
    default: '$XDG_STATE_HOME/bootplane, else ~/.local/state/bootplane',
  }),
  host: withDefault(listenAddress, '0.0.0.0', {
    env: 'BOOTPLANE_HOST',
    flag: 'host',
    value: 'ADDRESS',
    description: 'address to listen on',
  }),
  port: withDefault(whole(0, 65_535), '7420', {
    env: 'BOOTPLANE_PORT',
    flag: 'port',
    value: 'PORT',
    description: 'port to listen on; 0 takes a free one',
  }),
  advertise_url: optional(origin, {
    env: 'BOOTPLANE_ADVERTISE_URL',
    flag: 'advertise-url',
    value: 'URL',
    description: 'the URL that other nodes use for this one; found from the interface when not set',
  }),
  fleet: withDefault(id, 'default', { env: 'BOOTPLANE_FLEET', flag: 'fleet', value: 'NAME', description: 'name of the fleet' }),
  site: withDefault(id, 'default', { env: 'BOOTPLANE_SITE', flag: 'site', value: 'NAME', description: 'name of the site' }),
  api_key: optional(secret.min(MIN_FLEET_KEY_LENGTH, `must have at least ${MIN_FLEET_KEY_LENGTH} characters`), {
    env: 'BOOTPLANE_API_KEY',
    value: 'KEY',
    description: 'the fleet key; made at the first start as fleet.key in the data directory when not set',
    secret: true,
  }),
  admin_key: optional(secret, {
    env: 'BOOTPLANE_ADMIN_KEY',
    value: 'KEY',
    description: 'the admin key of the cloud, for `bootplane fleet`; a node does not need it',
    secret: true,
  }),
  node_id: optional(id, {
    env: 'BOOTPLANE_NODE_ID',
    flag: 'node-id',
    value: 'ID',
    description: 'instead of the id that is made at the first start',
  }),
  capabilities: withDefault(list(id), '', {
    env: 'BOOTPLANE_CAPABILITIES',
    flag: 'capabilities',
    value: 'LIST',
    description: 'what this node can do, comma-separated, for placement',
  }),
  cloud_url: optional(securedOrigin, {
    env: 'BOOTPLANE_CLOUD_URL',
    flag: 'cloud-url',
    value: 'URL',
    description: 'the cloud control URL',
  }),
  lead: withDefault(switched, 'on', {
    env: 'BOOTPLANE_LEAD',
    flag: 'no-lead',
    value: 'on|off',
    negation: 'never lead the site',
    description: 'whether this node may lead its site',
  }),
  mdns: withDefault(switched, 'on', {
    env: 'BOOTPLANE_MDNS',
    flag: 'no-mdns',
    value: 'on|off',
    negation: 'neither find nodes nor be found by multicast DNS',
    description: 'whether nodes are found by multicast DNS',
  }),
  interfaces: withDefault(list(text), '', {
    env: 'BOOTPLANE_INTERFACE',
    flag: 'interface',
    value: 'LIST',
    description: 'network interfaces for multicast DNS, comma-separated; all when not set',
  }),
  peers: withDefault(list(origin), '', {
    env: 'BOOTPLANE_PEERS',
    flag: 'peers',
    value: 'LIST',
    description: 'URLs of nodes to ask first, comma-separated',
  }),
  ttl_seconds: withDefault(whole(1, 86_400), '15', {
    env: 'BOOTPLANE_TTL_SECONDS',
    flag: 'ttl-seconds',
    value: 'SECONDS',
    description: 'time to live of a node and of a lease when the plan sets none',
  }),
  write_budget: withDefault(whole(...WRITE_BUDGET_LIMITS), String(WRITE_BUDGETS.node), {
    env: 'BOOTPLANE_WRITE_BUDGET',
    flag: 'write-budget',
    value: 'ROWS',
    description: 'rows a day that heartbeats and renewals may write to this node: the time to live is stretched to stay within it',
  }),
  keep_events: retention('keep_events', {
    env: 'BOOTPLANE_KEEP_EVENTS',
    value: 'NUMBER',
    description: 'newest events of the fleet that are kept',
  }),
  keep_event_days: retention('keep_event_days', {
    env: 'BOOTPLANE_KEEP_EVENT_DAYS',
    value: 'DAYS',
    description: 'after which events go even if they are few',
  }),
  keep_lost_days: retention('keep_lost_days', {
    env: 'BOOTPLANE_KEEP_LOST_DAYS',
    value: 'DAYS',
    description: 'after which a node that is not heard is dropped from the registry',
  }),
  keep_left_days: retention('keep_left_days', {
    env: 'BOOTPLANE_KEEP_LEFT_DAYS',
    value: 'DAYS',
    description: 'after which a node that left is dropped from the registry',
  }),
  plan_file: optional(text.min(1), {
    env: 'BOOTPLANE_PLAN',
    flag: 'plan',
    value: 'FILE',
    description: 'Cluster Plan to start with when this node leads and none was published',
  }),
  profile_file: optional(text.min(1), {
    env: 'BOOTPLANE_PROFILE',
    flag: 'profile',
    value: 'FILE',
    description: 'Environment Profile to start with when this node leads and none was published',
  }),
  log: withDefault(z.enum(['text', 'json'], 'must be text or json'), 'text', {
    env: 'BOOTPLANE_LOG',
    flag: 'log',
    value: 'text|json',
    description: 'how the node writes its log',
  }),
  rate_limit: withDefault(whole(0, 1_000_000), String(CREDENTIAL_PER_SECOND), {
    env: 'BOOTPLANE_RATE_LIMIT',
    flag: 'rate-limit',
    value: 'NUMBER',
    description: 'requests a second that this node takes from one credential on other machines; 0 for no limits at all',
  }),
  url: optional(origin, {
    env: 'BOOTPLANE_URL',
    flag: 'url',
    value: 'URL',
    description: 'node or cloud that commands talk to; the node of the data directory when not set',
  }),
  jwks_url: optional(jwksUrl, {
    env: 'BOOTPLANE_JWKS_URL',
    value: 'URL',
    description: 'where the keys are that sign the JWTs which this node takes',
  }),
  jwks_file: optional(text.min(1), {
    env: 'BOOTPLANE_JWKS_FILE',
    value: 'FILE',
    description: 'the same in a file, for a site without a network',
  }),
  jwt_issuer: optional(text.min(1), { env: 'BOOTPLANE_JWT_ISSUER', value: 'TEXT', description: 'who issues the JWTs: their "iss"' }),
  jwt_audience: optional(text.min(1), { env: 'BOOTPLANE_JWT_AUDIENCE', value: 'TEXT', description: 'whom the JWTs are for: their "aud"' }),
  jwt_skew_seconds: withDefault(whole(0, MAX_SKEW_SECONDS), String(DEFAULT_SKEW_SECONDS), {
    env: 'BOOTPLANE_JWT_SKEW_SECONDS',
    value: 'SECONDS',
    description: 'by how much the clock of the issuer may differ',
  }),
  token_file: optional(text.min(1), {
    env: 'BOOTPLANE_TOKEN_FILE',
    value: 'FILE',
    description: "this node's own JWT, which an agent of the platform keeps renewed",
  }),
  tls_cert: optional(text.min(1), {
    env: 'BOOTPLANE_TLS_CERT',
    value: 'FILE',
    description: 'certificate (PEM, with those between) that this node shows: it then speaks https to other machines',
  }),
  tls_key: optional(text.min(1), { env: 'BOOTPLANE_TLS_KEY', value: 'FILE', description: 'its private key (PEM)' }),
  tls_ca: optional(text.min(1), {
    env: 'BOOTPLANE_TLS_CA',
    value: 'FILE',
    description: 'certificates (PEM) that this node trusts beside those of the system, as that of the other nodes',
  }),
  insecure_http: withDefault(switched, 'off', {
    env: 'BOOTPLANE_INSECURE_HTTP',
    value: 'on|off',
    description: 'take and send JWTs over plain http on the network, where others can read and use them',
  }),
  s3_endpoint: optional(text, {
    env: 'MINIO_ENDPOINT',
    aliases: ['S3_ENDPOINT'],
    value: 'URL',
    description: 'object store that speaks S3, instead of the file system',
  }),
  s3_access_key: optional(secret, {
    env: 'MINIO_ACCESS_KEY',
    aliases: ['S3_ACCESS_KEY'],
    value: 'KEY',
    description: 'access key of the object store',
    secret: true,
  }),
  s3_secret_key: optional(secret, {
    env: 'MINIO_SECRET_KEY',
    aliases: ['S3_SECRET_KEY'],
    value: 'KEY',
    description: 'secret key of the object store',
    secret: true,
  }),
  s3_region: optional(text, {
    env: 'MINIO_REGION',
    aliases: ['S3_REGION'],
    value: 'NAME',
    description: 'region of the object store; found out from it when not set',
  }),
  amqp_url: optional(secret, {
    env: 'AMQP_URL',
    value: 'URL',
    description: 'RabbitMQ instead of the in-process bus',
    secret: true,
  }),
  rabbitmq_management_url: optional(secret, {
    env: 'RABBITMQ_MANAGEMENT_URL',
    value: 'URL',
    description: 'management API of RabbitMQ, which tells all that is there in one read',
    secret: true,
  }),
  weaviate_url: optional(text, {
    env: 'WEAVIATE_URL',
    value: 'URL',
    description: 'Weaviate instead of the embedded index',
  }),
  weaviate_grpc_url: optional(text, {
    env: 'WEAVIATE_GRPC_URL',
    value: 'URL',
    description: 'gRPC address of Weaviate; its REST API does, so it is not used',
  }),
  weaviate_api_key: optional(secret, { env: 'WEAVIATE_API_KEY', value: 'KEY', description: 'API key of Weaviate', secret: true }),
});

/** All settings, read and checked. */
export type SettingValues = z.output<typeof SettingsSchema>;

export type SettingName = keyof typeof SettingsSchema.shape;

/** Every setting with what is known of it, in the order of the help. */
export const SETTINGS: readonly (SettingInfo & { readonly name: SettingName })[] = SettingsSchema.keyof().options.map((name) => {
  const info = registry.get(SettingsSchema.shape[name]);
  if (info === undefined) throw new TypeError(`the setting ${name} is not described`);
  return { name, ...info };
});
