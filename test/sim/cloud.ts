import type { Fetch } from '../../shared/client.ts';
import type { FleetKeys } from '../../shared/contract/fleet-keys.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Log } from '../../shared/ports/log.ts';
import type { Random } from '../../shared/ports/random.ts';
import { createSupervisor, type Supervisor } from '../../shared/supervisor/app.ts';
import type { Host, Listener } from './http.ts';
import { CLOUD_HOST } from './network.ts';
import { DatabaseFile, databaseOn } from './simulated-database.ts';

export const CLOUD_URL = 'https://cloud.example';

export interface CloudOptions {
  readonly fleet: string;
  readonly keys: FleetKeys;
  readonly ttl_seconds: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The cloud control URL: the same Supervisor as on Workers, over its one database. It may be away. */
export class Cloud implements Host {
  readonly name = CLOUD_HOST;
  readonly file = DatabaseFile.migrated();
  isAway = false;
  readonly supervisor: Supervisor;

  constructor({ fleet, keys, ttl_seconds, clock, random, log }: CloudOptions) {
    this.file.useClock(clock);
    this.supervisor = createSupervisor({
      database: databaseOn(this.file, () => undefined),
      clock,
      random,
      log,
      fleets: { default_fleet: fleet, keysOf: async (name) => (name === fleet ? keys : undefined) },
      version: 'simulated',
      ttl_seconds,
      stream_seconds: 55,
    });
  }

  isOn(): boolean {
    return !this.isAway;
  }

  listener(): Listener {
    const answer: Fetch = (request) => this.supervisor.fetch(request);
    return { answer, isAlive: () => true, onEnd: () => () => undefined };
  }
}
