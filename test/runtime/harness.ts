import type { FleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Database } from '../../shared/ports/database.ts';
import type { Supervisor } from '../../shared/supervisor/app.ts';
import type { SupervisorOptions } from '../../shared/supervisor/context.ts';
import type { FleetRegistry } from '../../shared/supervisor/identity/fleets.ts';

export const FLEET_KEY = 'a fleet key that is only for tests';
export const FOREIGN_KEY = 'the key of quite another fleet';

/** One Supervisor in one runtime, over its own empty database. The cases know nothing else of it. */
export interface Harness {
  readonly supervisor: Supervisor;
  readonly database: Database;
  readonly keys: FleetKeys;
  readonly foreign: FleetKeys;
  /** What the Supervisor told the overlay. */
  readonly emitted: { topic: string; body: Readonly<Record<string, unknown>>; key: string }[];
  /** Sends a request to the Supervisor, over HTTP where the runtime has a listener. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export type Adjust = Partial<Omit<SupervisorOptions, 'database'>> & {
  wrap?: (database: Database) => Database;
  /** Makes the registry of fleets over the database of the harness; it is the keyring too. */
  registryOf?: (parts: Pick<SupervisorOptions, 'database' | 'clock' | 'random' | 'log'>) => Promise<FleetRegistry>;
};

/** What a Supervisor inside node `a` asks of it, where that does not matter. */
export const SELF: NonNullable<SupervisorOptions['self']> = {
  node_id: 'a',
  instance_id: 'i',
  origins: () => [],
  provisional: () => false,
  confirmed: () => false,
  leadership: () => ({ leads: true, epoch_seen: 0, eligible: true }),
  hear: () => undefined,
};

/** Starts a harness; tests run against each runtime's. */
export type Start = (adjust?: Adjust) => Promise<Harness>;

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the cases assert on the shape of what came
  readonly body: any;
}

export interface CallOptions {
  /** A credential, or `null` for none. Default: the fleet key. */
  readonly as?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One call with a JSON body. */
export async function call(harness: Harness, request: string, options: CallOptions = {}): Promise<Reply> {
  const [method = 'GET', path = '/'] = request.split(' ');
  const headers = new Headers(options.headers);
  if (options.as !== null) headers.set('authorization', `Bearer ${options.as ?? FLEET_KEY}`);
  if (options.body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json');
  const body = options.body === undefined ? {} : { body: typeof options.body === 'string' ? options.body : JSON.stringify(options.body) };
  const response = await harness.fetch(path, { method, headers, ...body });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, headers: response.headers, body: isJson && text !== '' ? JSON.parse(text) : text };
}

/** Lets `ms` milliseconds pass for everything that is judged by the database's clock, on any engine. */
export async function age(harness: Harness, ms: number): Promise<void> {
  const columns = {
    nodes: ['heard_at', 'registered_at', 'displaced_at', 'left_at'],
    leases: ['expires_at', 'uplinked_at'],
    placements: ['computed_at'],
    issued_keys: ['created_at', 'expires_at', 'last_used_at', 'revoked_at'],
    fleets: ['previous_until'],
  };
  const statements = Object.entries(columns).map(([table, names]) => ({
    sql: `update ${table} set ${names.map((name) => `${name} = ${name} - ${ms}`).join(', ')}`,
    params: [],
  }));
  await harness.database.batch(statements);
}

export function registration(node_id: string, more: Record<string, unknown> = {}) {
  return { node_id, capabilities: [], host: `${node_id}.test`, ip: '192.0.2.1', versions: { bootplane: '0.1.0' }, ...more };
}

export function heartbeat(node_id: string, more: Record<string, unknown> = {}) {
  return { node_id, role: 'worker', services_running: [], versions: { bootplane: '0.1.0' }, ...more };
}

export async function register(harness: Harness, node_id: string, more: Record<string, unknown> = {}): Promise<void> {
  const reply = await call(harness, 'POST /v1/nodes/register', { body: registration(node_id, more) });
  if (reply.status !== 200) throw new Error(`register answered ${reply.status}: ${JSON.stringify(reply.body)}`);
}
