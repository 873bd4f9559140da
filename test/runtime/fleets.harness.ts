import { deriveFleetKeys, type FleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { createFleetRegistry, type FleetRegistryParts } from '../../shared/supervisor/identity/fleets.ts';
import { type Adjust, type CallOptions, call, FLEET_KEY, type Harness, type Reply, type Start } from './harness.ts';

export const ADMIN_KEY = 'an admin key that is only for tests';
export const SECRET = 'a secret of the Worker that is only for tests';

export interface Fleets {
  readonly harness: Harness;
  /** Of the registry, so far. */
  readonly reads: () => number;
  /** Lets what is remembered grow old. Nothing else ages. */
  pass(ms: number): void;
  as(credential: string, request: string, options?: CallOptions): Promise<Reply>;
  /** As the admin, in a fleet where one is named. */
  admin(request: string, options?: CallOptions & { fleet?: string }): Promise<Reply>;
  makeFleet(fleet: string): Promise<{ readonly key: string; readonly keys: FleetKeys }>;
  /** Over https, whatever the harness listens on. */
  secured(credential: string, request: string, body: unknown): Promise<Reply>;
  close(): Promise<void>;
}

/** A Supervisor of many fleets, beside the one named `default`. */
export async function startFleets(start: Start, parts: Partial<FleetRegistryParts> = {}, adjust: Adjust = {}): Promise<Fleets> {
  const late: { clock?: Clock } = {};
  let [shift, reads] = [0, 0];
  const base = () => {
    if (late.clock === undefined) throw new Error('the harness has not begun');
    return late.clock;
  };
  const clock: Clock = {
    now: () => base().now(),
    monotonic: () => base().monotonic() + shift,
    trusted: () => true,
    sleep: (ms, signal) => base().sleep(ms, signal),
  };
  const own = await deriveFleetKeys('default', FLEET_KEY);
  const registryOf: Adjust['registryOf'] = (given) => {
    late.clock = given.clock;
    const database: typeof given.database = {
      ...given.database,
      batch: (statements) => {
        reads += 1;
        return given.database.batch(statements);
      },
    };
    return createFleetRegistry({
      ...given,
      database,
      clock,
      own,
      default_fleet: 'default',
      secret: SECRET,
      admin_key: ADMIN_KEY,
      ...parts,
    });
  };
  const harness = await start({ ...adjust, clock, registryOf });
  const as = (credential: string, request: string, options: CallOptions = {}) => call(harness, request, { ...options, as: credential });
  const admin: Fleets['admin'] = (request, { fleet, ...options } = {}) =>
    as(ADMIN_KEY, request, fleet === undefined ? options : { ...options, headers: { ...options.headers, 'bootplane-fleet': fleet } });
  return {
    harness,
    reads: () => reads,
    pass: (ms) => {
      shift += ms;
    },
    as,
    admin,
    async makeFleet(fleet) {
      const { status, body } = await admin('POST /v1/fleets', { body: { fleet } });
      if (status !== 201) throw new Error(`making ${fleet} answered ${status}: ${JSON.stringify(body)}`);
      return { key: body.key, keys: await deriveFleetKeys(fleet, body.key) };
    },
    async secured(credential, request, body) {
      const [method = 'GET', path = '/'] = request.split(' ');
      const headers = { authorization: `Bearer ${credential}`, 'content-type': 'application/json' };
      const url = new URL(path, 'https://cloud.example');
      const response = await harness.supervisor.fetch(new Request(url, { method, headers, body: JSON.stringify(body) }));
      return { status: response.status, headers: response.headers, body: await response.json() };
    },
    close: () => harness.close(),
  };
}
