import type { PlannedService } from '../../../shared/contract/plan.ts';
import type { Machine } from '../machine.ts';
import type { Published } from '../published.ts';
import type { World } from '../world.ts';
import type { Invariant, Judge } from './invariant.ts';

/** A service without a health check counts as running when it has lasted this long, milliseconds. */
const STARTING_MS = 300;

/** Why a node may stop or restart a healthy service. The last two are the only ones that leadership may bring about. */
export type StopReason =
  | 'the plan'
  | 'it had not come up yet'
  | 'the node stops'
  | 'a second copy'
  | 'surplus above count'
  | 'a role was lost';

/** For so long a copy elsewhere explains the stop of this one: a lost node counts for three TTLs, and news of it take up to two more. */
const SURPLUS_MEMORY_TTLS = 5;

/** For so long a node may be busy with the steps of a new plan before the one that stops what the plan dropped. */
const APPLYING_TTLS = 3;

export function servicesInvariants(published: Published): Invariant {
  return (judge) => {
    const copies = new CopyMemory(judge.world);
    return {
      onService(machine, event) {
        if (event.kind === 'start') {
          copies.notePlan(machine);
          const isStartedAnew = copies.startedUnstopped(machine, event.spec) && copies.wasNamedLately(machine, event.spec);
          copies.noteStart(machine, event.spec);
          checkStart(judge, published, machine, { ...event.spec, isStartedAnew });
        } else {
          copies.noteStop(machine, event.name);
          const reason = reasonOf(published, copies, machine, event);
          copies.note();
          judge.count(`stop: ${reason ?? 'no reason'}`);
          if (reason === undefined)
            judge.broken(
              'no healthy service stopped',
              `${machine.name} stops ${event.name} ${event.version}${copies.describe(event.name)}`,
            );
        }
      },
      onState(machine) {
        copies.notePlan(machine);
        copies.noteOn(machine);
        const { name, services } = machine;
        const [double] = services.doubles;
        if (double !== undefined) judge.broken('never two copies on one node', `${name} runs ${double} twice`);
      },
      onTime: (machine) => copies.noteOn(machine),
    };
  };
}

function checkStart(
  { broken }: Judge,
  published: Published,
  { name, disk }: Machine,
  spec: { readonly name: string; readonly version: string; readonly command: readonly string[]; readonly isStartedAnew: boolean },
): void {
  const isPlanned = published
    .services()
    .some(
      (service) => service.name === spec.name && service.version === spec.version && service.command.join(' ') === spec.command.join(' '),
    );
  if (!isPlanned) broken('only what was signed runs', `${name} starts ${spec.name} ${spec.version}, which nobody published`);
  // It died by itself while the steps of a new plan before its own were under way: until its turn it runs as it was.
  if (spec.isStartedAnew) return;
  // The cached plan was verified before it was kept, and is kept before anything of it starts.
  const held = heldServices(disk.texts.get('plan.json'));
  if (held !== undefined && !held.some((one) => one.name === spec.name && one.version === spec.version))
    broken('only what was signed runs', `${name} starts ${spec.name} ${spec.version}, which the plan that it holds does not name`);
}

type HeldService = Pick<PlannedService, 'name' | 'version'> & {
  readonly command?: readonly string[];
  readonly placement?: Partial<PlannedService['placement']>;
};

/** The services of the plan that a node keeps; undefined where it keeps none. */
export function heldServices(text: string | undefined): readonly HeldService[] | undefined {
  if (text === undefined) return undefined;
  const { document } = JSON.parse(text) as { document: { services?: HeldService[] } };
  return document.services ?? [];
}

interface Stopped {
  readonly name: string;
  readonly version: string;
}

function reasonOf(published: Published, copies: CopyMemory, machine: Machine, { name, version }: Stopped): StopReason | undefined {
  const { state } = machine;
  if (state === undefined || state.phase === 'stopping' || state.phase === 'stopped') return 'the node stops';
  const held = heldServices(machine.disk.texts.get('plan.json'));
  const service = held?.find((one) => one.name === name);
  if (service === undefined || service.version !== version) return 'the plan';
  const { roles = [], nodes = [], count } = service.placement ?? {};
  if (nodes.length > 0 && !nodes.includes(state.node_id)) return 'the plan';
  if (copies.isStarting(machine, name)) return 'it had not come up yet';
  if (machine.services.alive(name).length > 1) return 'a second copy';
  if (roles.length > 0 && !copies.hasRole(machine, roles)) return 'a role was lost';
  const wanted = published.lowestCount(name) ?? count;
  if (wanted !== undefined && copies.elsewhere(name, machine) >= wanted) return 'surplus above count';
  return undefined;
}

/**
 * Which machines ran which service when. It looks at a machine after each event of its node: a copy may start and end with
 * its machine, its disk and its identity before any other service starts or stops, and the leader may still count it.
 */
class CopyMemory {
  readonly #world: World;
  /** By service: machine and when it was last seen there. */
  readonly #seen = new Map<string, Map<string, number>>();
  readonly #started = new Map<string, number>();
  /** What each machine started last, until its node stopped it. */
  readonly #versions = new Map<string, string>();
  /** The file of the plan that each machine held when it was last looked at. */
  readonly #plans = new Map<string, string>();
  /** When each machine was seen to have another plan than one that named a version. */
  readonly #namedUntil = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  noteStart(machine: Machine, { name, version }: Stopped): void {
    this.#started.set(`${machine.name} ${name}`, this.#world.timeline.now);
    this.#versions.set(`${machine.name} ${name}`, `${version} in boot ${machine.boots}`);
    this.note();
  }

  noteStop({ name: machine }: Machine, service: string): void {
    this.#versions.delete(`${machine} ${service}`);
  }

  /** This boot of the node has started this version before, and has not stopped it since. */
  startedUnstopped({ name: machine, boots }: Machine, { name, version }: Stopped): boolean {
    return this.#versions.get(`${machine} ${name}`) === `${version} in boot ${boots}`;
  }

  notePlan({ name: machine, disk }: Machine): void {
    const text = disk.texts.get('plan.json');
    const before = this.#plans.get(machine);
    if (text === undefined || text === before) return;
    this.#plans.set(machine, text);
    const { now } = this.#world.timeline;
    for (const { name, version } of heldServices(before) ?? []) this.#namedUntil.set(`${machine} ${name} ${version}`, now);
  }

  /** The plan that the machine held a few TTLs ago named this version. */
  wasNamedLately({ name: machine }: Machine, { name, version }: Stopped): boolean {
    const at = this.#namedUntil.get(`${machine} ${name} ${version}`);
    return at !== undefined && this.#world.timeline.now - at <= APPLYING_TTLS * this.#world.options.ttl_seconds * 1000;
  }

  /** It was started so short ago, from what was cached perhaps, that it cannot count as healthy. */
  isStarting({ name: machine }: Machine, service: string): boolean {
    const at = this.#started.get(`${machine} ${service}`);
    return at !== undefined && this.#world.timeline.now - at < STARTING_MS;
  }

  note(): void {
    for (const machine of this.#world.machines) this.noteOn(machine);
  }

  noteOn({ name: machine, services }: Machine): void {
    const { now } = this.#world.timeline;
    for (const { name, alive } of services.processes) {
      if (!alive) continue;
      const seen = this.#seen.get(name) ?? new Map<string, number>();
      this.#seen.set(name, seen.set(machine, now));
    }
  }

  elsewhere(name: string, here: Machine): number {
    const since = this.#world.timeline.now - SURPLUS_MEMORY_TTLS * this.#world.options.ttl_seconds * 1000;
    this.note();
    return [...(this.#seen.get(name) ?? [])].filter(([machine, at]) => machine !== here.name && at >= since).length;
  }

  hasRole({ state }: Machine, roles: readonly string[]): boolean {
    return state !== undefined && roles.includes(state.role);
  }

  describe(name: string): string {
    const seen = [...(this.#seen.get(name) ?? [])].map(
      ([machine, at]) => `${machine} (${Math.round(this.#world.timeline.now - at)} ms ago)`,
    );
    return `; copies were seen on ${seen.join(', ') || 'no machine'}`;
  }
}
