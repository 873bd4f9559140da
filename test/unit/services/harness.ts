import { createHash } from 'node:crypto';
import { vi } from 'vitest';
import type { BootstrapEvent } from '../../../shared/contract/event.ts';
import { PlannedService } from '../../../shared/contract/plan.ts';
import type { HealthProbe, ProbeOptions, ProbeResult } from '../../../shared/ports/health-probe.ts';
import type { ServiceManagerDeps } from '../../../shared/reconcile/services/manager.ts';
import { createServiceManager } from '../../../shared/reconcile/services/manager.ts';
import type { Desired } from '../../../shared/reconcile/types.ts';
import { FakeMachine, fakeProcessHost } from '../../support/fake-process-host.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

// The same SHA-256 on the event loop: the real one runs beside it, and simulated time does not wait for that.
vi.spyOn(crypto.subtle, 'digest').mockImplementation(async (_, data) => {
  const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  return new Uint8Array(createHash('sha256').update(bytes).digest()).buffer;
});

/** A node's services on a simulated machine, with the answers of the health checks in the test's hand. */
export class ServiceWorld {
  readonly clock = new SimulatedClock();
  readonly machine = new FakeMachine(this.clock);
  readonly events: BootstrapEvent[] = [];
  readonly log = recordingLog();
  readonly probes: ProbeOptions[] = [];
  /** Services whose check fails, with the detail. */
  readonly ill = new Map<string, string>();
  /** Numbers are kept across restarts of the node, as on disk. */
  readonly attempts = new Map<string, number>();

  manager(changes: Partial<ServiceManagerDeps> = {}) {
    return createServiceManager({
      host: fakeProcessHost(this.machine),
      probe: this.#probe(),
      clock: this.clock,
      random: seededRandom(7),
      log: this.log,
      node_id: 'n1',
      attempts: {
        next: async (component, key) => {
          const number = (this.attempts.get(`${component} ${key}`) ?? 0) + 1;
          this.attempts.set(`${component} ${key}`, number);
          return number;
        },
      },
      report: (event) => this.events.push(event),
      environment: ({ name }) => ({ BOOTPLANE_SERVICE: name }),
      ...changes,
    });
  }

  /** `<action> <status>` of each event so far; the list is emptied. */
  told(): string[] {
    return this.events.splice(0).map(({ action, status }) => `${action} ${status}`);
  }

  /** What was started and signalled so far; the list is emptied. Clearing the rest of a group that is gone leaves no trace. */
  done(): string[] {
    return this.machine.trace.splice(0);
  }

  #probe(): HealthProbe {
    return {
      probe: async (_, options): Promise<ProbeResult> => {
        this.probes.push(options);
        const detail = this.ill.get(options.service);
        return detail === undefined ? { healthy: true, detail: 'HTTP 200' } : { healthy: false, detail };
      },
    };
  }
}

/** A service as a plan writes it, with a health check unless `health: undefined` is said. */
export function service(name: string, changes: Record<string, unknown> = {}): PlannedService {
  return PlannedService.parse({ name, version: '1', command: ['stay'], health: { http: 'http://127.0.0.1:1/' }, ...changes });
}

export function desired(generation: number, ...body: PlannedService[]): Desired<readonly PlannedService[]> {
  return { body, generation, hash: generation.toString(16).padStart(64, '0') };
}
