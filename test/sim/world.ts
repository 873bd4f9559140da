import type { Fetch } from '../../shared/client.ts';
import { proveCredential } from '../../shared/contract/credential-proof.ts';
import { deriveFleetKeys, type FleetKeys } from '../../shared/contract/fleet-keys.ts';
import { toTimestamp } from '../../shared/contract/ids.ts';
import type { Member } from '../../shared/contract/member.ts';
import type { DiscoveryState } from '../../shared/discovery/types.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { MemoryLan } from '../support/memory-lan.ts';
import { CLOUD_URL, Cloud } from './cloud.ts';
import { type Dialler, type Exchange, fetchThrough, type Host, type HttpDeps } from './http.ts';
import { Machine, type MachineWorld } from './machine.ts';
import { MachineClock } from './machine-clock.ts';
import { Network } from './network.ts';
import { between, randomOf } from './random.ts';
import { Timeline } from './timeline.ts';
import { Trace, type TraceLevel, tracingLog } from './trace.ts';
import type { Watcher } from './watcher.ts';

export const FLEET = 'sim';
export const FLEET_KEY = 'the fleet key of a simulated fleet';

/** Of the node with this number, from 0 on. */
export function addressOf(node: number): string {
  return `10.0.0.${node + 11}`;
}

export type Keyless = 'all' | 'some';

export interface WorldOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly cloud: boolean;
  readonly ttl_seconds: number;
  /** Which lines of the trace are kept. The digest covers all. */
  readonly keep?: readonly TraceLevel[];
  /** Whether packets to all get through; default true. */
  readonly multicast?: boolean;
  /** Nodes that have joined without the fleet key, by the name of their first machine: all, or every second one. It takes a cloud. */
  readonly keyless?: Keyless;
  /** Settings beside the usual ones, by node number from 0 on. */
  readonly settings?: (node: number) => Readonly<Record<string, string>>;
}

/** One site: machines with real nodes on a simulated network, and perhaps a cloud, all on one simulated time. */
export class World {
  readonly options: WorldOptions;
  readonly timeline = new Timeline();
  readonly trace: Trace;
  readonly network: Network;
  readonly lan: MemoryLan;
  readonly clock: Clock;
  readonly keys: FleetKeys;
  readonly cloud: Cloud | undefined;
  readonly machines: Machine[] = [];
  /** Copies that were taken away again. */
  readonly #gone: Machine[] = [];
  /** Hosts that are not of the fleet. */
  readonly strangers: (Host & { readonly origin: string })[] = [];
  /** How long a write takes on the disk of a machine, milliseconds; 0 where it is not there. */
  readonly diskDelays = new Map<string, number>();
  readonly watchers: Watcher[] = [];
  readonly #http: HttpDeps;
  #halted = false;
  readonly #shown = new Map<string, { readonly state: DiscoveryState; readonly text: string }>();

  static async create(options: WorldOptions): Promise<World> {
    return new World(options, await deriveFleetKeys(FLEET, FLEET_KEY));
  }

  private constructor(options: WorldOptions, keys: FleetKeys) {
    this.options = options;
    this.keys = keys;
    this.trace = new Trace(this.timeline, options.keep);
    this.network = new Network(this.timeline, randomOf(options.seed, 'network'));
    const rightClock = new MachineClock(this.timeline);
    this.clock = rightClock.ofProcess(() => true);
    this.lan = new MemoryLan({
      clock: this.clock,
      clockOf: (name) => ({ ...this.clock, sleep: rightClock.ofProcess(() => true, undefined, name).sleep }),
      log: this.#log('lan'),
      path: (from, to) => (options.multicast === false ? [] : this.network.packetDelays(from, to)),
    });
    this.cloud = options.cloud ? this.#createCloud() : undefined;
    this.#http = this.#createHttp();
    const random = randomOf(options.seed, 'machines');
    for (let index = 0; index < options.nodes; index += 1) {
      // A crystal is off by up to 100 parts in a million.
      const clock = new MachineClock(this.timeline, between(random, 0.9999, 1.0001), between(random, -30_000, 30_000));
      this.addMachine(`n${index + 1}`, addressOf(index), clock, options.settings?.(index));
    }
  }

  addMachine(name: string, ip: string, clock: MachineClock, settings: Readonly<Record<string, string>> = {}): Machine {
    const { cloud, ttl_seconds } = this.options;
    const all = {
      BOOTPLANE_FLEET: FLEET,
      BOOTPLANE_API_KEY: FLEET_KEY,
      BOOTPLANE_TTL_SECONDS: String(ttl_seconds),
      ...(cloud ? { BOOTPLANE_CLOUD_URL: CLOUD_URL } : {}),
      ...settings,
    };
    const machine = new Machine(this.#around(), { name, ip, clock, trueClock: this.clock, settings: all });
    this.machines.push(machine);
    return machine;
  }

  /** The machine is taken away for good. */
  removeMachine(machine: Machine): void {
    machine.powerOff();
    machine.isGone = true;
    this.machines.splice(this.machines.indexOf(machine), 1);
    this.#gone.push(machine);
  }

  /** Lets simulated time pass; `observe` is called whenever something has happened. */
  async run(ms: number): Promise<void> {
    await this.timeline.run(this.timeline.now + ms, (owner, about) => {
      for (const machine of this.machines) {
        if (owner !== undefined && machine.name !== owner) continue;
        if (about === undefined || machine.name === about || this.#mayChangeWithTime(machine)) this.#look(machine);
        else for (const watcher of this.watchers) watcher.onTime?.(machine);
      }
      return !this.#halted;
    });
  }

  /** Nothing more happens. */
  halt(): void {
    this.#halted = true;
  }

  close(): void {
    for (const { disk } of [...this.machines, ...this.#gone]) disk.database.close();
    this.cloud?.file.close();
  }

  /** A line for readers. */
  say(who: string, text: string): void {
    this.trace.add(who, 'step', text);
  }

  hostAt(origin: string): Host | undefined {
    if (origin === CLOUD_URL) return this.cloud;
    return [...this.machines, ...this.strangers].find((machine) => machine.origin === origin);
  }

  /** `fetch` for a person: on one of the machines, or outside the site. */
  fetchAs(who: string): Fetch {
    return fetchThrough(this.#http, { host: who, isAlive: () => true });
  }

  #createCloud(): Cloud {
    const { seed, ttl_seconds } = this.options;
    return new Cloud({
      fleet: FLEET,
      keys: this.keys,
      ttl_seconds,
      clock: this.clock,
      random: randomOf(seed, 'cloud'),
      log: this.#log('cloud'),
    });
  }

  #createHttp(): HttpDeps {
    const show = (exchange: Exchange, text: string) =>
      this.trace.add(exchange.from, 'wire', `${exchange.method} ${exchange.to} ${exchange.url.pathname} ${text}`);
    return {
      network: this.network,
      hostAt: (origin) => this.hostAt(origin),
      onRequest: (exchange) => {
        for (const watcher of this.watchers) watcher.onRequest?.(exchange);
        show(exchange, 'asked');
      },
      onArrival: (exchange) => {
        const ends = this.watchers.map((watcher) => watcher.onArrival?.(exchange));
        return (response) => {
          for (const end of ends) end?.(response);
          show(exchange, `${response.status} given`);
        };
      },
      wantsBody: ({ url }) => url.pathname === '/v1/leader',
      onAnswer: (exchange, status, body) => {
        for (const watcher of this.watchers) watcher.onAnswer?.(exchange, status, body);
        show(exchange, `${status} heard`);
      },
    };
  }

  #around(): MachineWorld {
    return {
      fleetKey: FLEET_KEY,
      memberOf: async (machine, node_id) =>
        isKeyless(this.options.keyless, machine.name) ? memberAs(this.keys, machine.name, node_id) : undefined,
      fetchFrom: (machine, gate) => this.#fetchFrom(machine, gate),
      joinLan: (machine) => {
        const lan = this.lan.join(machine.name);
        return { lan, crash: () => this.lan.crash(machine.name) };
      },
      randomOf: (purpose) => randomOf(this.options.seed, purpose),
      logOf: (machine) => this.#log(machine.name),
      diskDelay: (machine) => this.diskDelays.get(machine.name) ?? 0,
      onBoot: (machine) => {
        this.say(machine.name, machine.boots === 1 ? 'boots' : `boots again (boot ${machine.boots})`);
        for (const watcher of this.watchers) watcher.onBoot?.(machine);
      },
      onEnd: (machine) => {
        this.#shown.delete(machine.name);
        for (const watcher of this.watchers) watcher.onEnd?.(machine);
      },
      onPowerOff: (machine) => this.network.losePower(machine.name),
      onService: (machine, event) => {
        const what = event.kind === 'start' ? `starts ${event.spec.name} ${event.spec.version}` : `stops ${event.name} ${event.version}`;
        this.say(machine.name, what);
        for (const watcher of this.watchers) watcher.onService?.(machine, event);
      },
      onPort: (machine, call) => {
        for (const watcher of this.watchers) watcher.onPort?.(machine, call);
      },
    };
  }

  #fetchFrom(machine: Machine, gate: Pick<Dialler, 'isAlive'>): Fetch {
    return fetchThrough(this.#http, { host: machine.name, isAlive: gate.isAlive });
  }

  #log(who: string) {
    return tracingLog(this.trace, who, (level, message) => {
      for (const watcher of this.watchers) watcher.onLog?.(who, level, message);
    });
  }

  /** The lease of one that leads may run out. What else a node says of itself changes only with what happens to it. */
  #mayChangeWithTime({ name }: Machine): boolean {
    const shown = this.#shown.get(name);
    return shown === undefined || shown.state.role === 'leader';
  }

  /** Tells whoever watches how a node stands, and writes a line when that has changed. */
  #look(machine: Machine): void {
    const { state } = machine;
    if (state === undefined) return;
    for (const watcher of this.watchers) watcher.onState?.(machine, state);
    const shown = this.#shown.get(machine.name);
    if (shown !== undefined && looksAlike(shown.state, state)) return;
    const { phase, role, source, epoch, leader_node_id, provisional, confirmed, generations } = state;
    const marks = `${provisional ? ' provisional' : ''}${confirmed ? ' confirmed' : ''}`;
    const documents = `plan ${generations.plan ?? 'none'}, profile ${generations.profile ?? 'none'}`;
    const text = `is ${phase}: ${role}, source ${source ?? 'none'}, follows ${epoch}/${leader_node_id ?? 'nobody'}${marks}, ${documents}`;
    this.#shown.set(machine.name, { state, text });
    if (shown?.text === text) return;
    this.trace.rename(state.node_id, machine.name);
    this.say(machine.name, text);
  }
}

const SHOWN = ['phase', 'role', 'source', 'epoch', 'leader_node_id', 'provisional', 'confirmed'] as const;

/** Whether the line of a node would be the same again; asked after each event. */
function looksAlike(one: DiscoveryState, other: DiscoveryState): boolean {
  const [a, b] = [one.generations, other.generations];
  return a.plan === b.plan && a.profile === b.profile && SHOWN.every((part) => one[part] === other[part]);
}

/** A copy of a node is called as that one, with something behind its number. */
function isKeyless(keyless: Keyless | undefined, name: string): boolean {
  return keyless === 'all' || (keyless === 'some' && Number(/\d+/.exec(name)?.[0] ?? 0) % 2 === 1);
}

/** As the cloud has let it in before the story begins. */
async function memberAs(keys: FleetKeys, name: string, node_id: string): Promise<Member> {
  const credential = await keys.nodeCredential(node_id);
  const credential_proof = await proveCredential(keys, credential);
  return {
    ...{ node_id, fleet: FLEET, joined_at: CLOUD_URL, is_cloud: true, credential },
    ...(credential_proof === undefined ? {} : { credential_proof }),
    ...{ discovery_key: keys.discovery_key, document_keys: [keys.documents.public_key], retired_document_keys: [] },
    // 32 bytes of its own, the same at each of its boots.
    ...{ local_key: name.padEnd(42, 'x').padEnd(43, 'A'), asked_at: toTimestamp(0) },
  };
}
