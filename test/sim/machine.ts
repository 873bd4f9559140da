import { type Config, readSettings } from '../../runtime-node/config.ts';
import { createNodeLife, type NodeLife } from '../../runtime-node/node-life.ts';
import type { Fetch } from '../../shared/client.ts';
import type { Member } from '../../shared/contract/member.ts';
import { identify } from '../../shared/discovery/identify.ts';
import { createMembership } from '../../shared/discovery/membership.ts';
import type { DiscoveryState } from '../../shared/discovery/types.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import type { Lan } from '../../shared/ports/lan.ts';
import type { Log } from '../../shared/ports/log.ts';
import type { ProcessHost, ProcessSpec } from '../../shared/ports/process-host.ts';
import type { Random } from '../../shared/ports/random.ts';
import { FakeMachine, fakeProcessHost } from '../support/fake-process-host.ts';
import { memoryStateFiles } from '../support/memory-state-files.ts';
import { type Disk, emptyDisk } from './disk.ts';
import { gated } from './gate.ts';
import type { Host, Listener } from './http.ts';
import type { MachineClock } from './machine-clock.ts';
import { databaseOn } from './simulated-database.ts';

/** What is done to the process of a service. */
export type ServiceEvent =
  | { readonly kind: 'start'; readonly spec: ProcessSpec }
  | { readonly kind: 'signal'; readonly name: string; readonly version: string; readonly spec_hash: string };

/** A call of a node to one of its backends. */
export interface PortCall {
  readonly port: 'storage' | 'bus' | 'vector';
  readonly method: string;
  readonly args: readonly unknown[];
}

/** What a machine finds around it. */
export interface MachineWorld {
  readonly fleetKey: string;
  /** What a node has that has joined without the fleet key; undefined for one that holds it. */
  memberOf(machine: Machine, node_id: string): Promise<Member | undefined>;
  fetchFrom(machine: Machine, gate: { readonly isAlive: () => boolean }): Fetch;
  /** The LAN as a new process on the machine sees it. */
  joinLan(machine: Machine): MachineLan;
  randomOf(purpose: string): Random;
  logOf(machine: Machine): Log;
  /** How long the disk of the machine takes for one write now, milliseconds. */
  diskDelay(machine: Machine): number;
  onBoot(machine: Machine): void;
  onEnd(machine: Machine): void;
  onPowerOff(machine: Machine): void;
  onService(machine: Machine, event: ServiceEvent): void;
  onPort(machine: Machine, call: PortCall): void;
}

export interface MachineLan {
  readonly lan: Lan;
  crash(): void;
}

/** One run of a node, from start to end or crash. */
interface Run {
  alive: boolean;
  readonly ends: Set<() => void>;
  readonly lan: MachineLan;
  life: NodeLife | undefined;
  answer: Fetch;
  /** When the disk has done all that it was asked to, by the monotonic clock. */
  diskFree: number;
}

export interface MachineOptions {
  readonly name: string;
  readonly ip: string;
  readonly clock: MachineClock;
  readonly trueClock: Clock;
  readonly settings: Readonly<Record<string, string>>;
}

const starting: Fetch = async () => new Response('starting', { status: 503 });

/** A machine with a disk, a clock, processes of services and, while it runs, one node: the real one on ports in memory. */
export class Machine implements Host {
  readonly name: string;
  readonly clock: MachineClock;
  readonly services: FakeMachine;
  readonly #world: MachineWorld;
  readonly #settings: Readonly<Record<string, string>>;
  ip: string;
  disk: Disk;
  boots = 0;
  /** Taken away for good: it never boots again. */
  isGone = false;
  /** The end of the present run was brought about from outside. */
  wasAsked = false;
  #on = true;
  #run: Run | undefined;
  readonly #trueClock: Clock;

  constructor(world: MachineWorld, { name, ip, clock, trueClock, settings }: MachineOptions) {
    this.#world = world;
    this.name = name;
    this.ip = ip;
    this.clock = clock;
    this.#trueClock = trueClock;
    this.#settings = settings;
    this.disk = emptyDisk(trueClock);
    this.services = new FakeMachine(trueClock);
  }

  get origin(): string {
    return `http://${this.ip}:7420`;
  }

  get state(): DiscoveryState | undefined {
    return this.#run?.life?.state();
  }

  /** It follows another Supervisor, to which it passes calls on. */
  get isPassingOn(): boolean {
    const source = this.state?.source;
    return source === 'mdns' || source === 'peer' || source === 'cloud';
  }

  get isRunning(): boolean {
    return this.#run !== undefined;
  }

  isOn(): boolean {
    return this.#on;
  }

  listener(): Listener | undefined {
    const run = this.#run;
    if (run === undefined) return undefined;
    return {
      answer: (request) => run.answer(request),
      isAlive: () => run.alive,
      onEnd: (act) => {
        run.ends.add(act);
        return () => run.ends.delete(act);
      },
    };
  }

  /** Starts the node, and the machine where it is off. */
  boot(): void {
    if (this.#run !== undefined || this.isGone) return;
    this.#on = true;
    this.boots += 1;
    this.wasAsked = false;
    const run: Run = { alive: true, ends: new Set(), lan: this.#world.joinLan(this), life: undefined, answer: starting, diskFree: 0 };
    this.#run = run;
    this.#world.onBoot(this);
    void this.#live(run);
  }

  /** `kill -9`: what runs beside the node goes on. */
  crash(): void {
    this.wasAsked = true;
    this.#end();
  }

  /** The power fails: all that runs ends, and the disk stays. */
  powerOff(): void {
    this.#on = false;
    this.wasAsked = true;
    this.#end();
    this.#world.onPowerOff(this);
    for (const process of this.services.processes) if (process.alive || process.child) this.services.end(process, {});
  }

  /** The machine gets an empty disk; only while nothing runs on it. */
  replaceDisk(disk = emptyDisk(this.#trueClock)): void {
    this.disk.database.close();
    this.disk = disk;
    for (const process of this.services.processes) if (process.alive || process.child) this.services.end(process, {});
  }

  /** Asks the node as a client on the same machine does. */
  ask(path: string): Promise<Response> {
    return (this.#run?.answer ?? starting)(new Request(`http://127.0.0.1:7420${path}`));
  }

  /** Asks the node to stop in order. */
  stop(): Promise<void> {
    this.wasAsked = true;
    return this.#run?.life?.stop() ?? Promise.resolve();
  }

  #end(): void {
    const run = this.#run;
    if (run === undefined) return;
    run.alive = false;
    this.#run = undefined;
    run.lan.crash();
    for (const act of [...run.ends]) act();
    this.#world.onEnd(this);
  }

  async #live(run: Run): Promise<void> {
    const gate = { isAlive: () => run.alive };
    const clock = this.clock.ofProcess(gate.isAlive, this.name);
    const random = this.#world.randomOf(`${this.name} boot ${this.boots}`);
    const log = this.#world.logOf(this);
    const turn = () => this.#diskTurn(clock, run);
    const files = gated(memoryStateFiles(this.disk.texts), gate, turn);
    const config: Config = { ...readSettings({ BOOTPLANE_DATA_DIR: '/', ...this.#settings }), seeds: {} };
    const machine = { clock, random, log, files };
    const identity = await identify(machine);
    const { database, storage, bus, vector } = this.disk;
    database.useClock(clock);
    const ports = {
      database: databaseOn(database, turn),
      storage: gated(this.#watched('storage', storage), gate),
      bus: gated(this.#watched('bus', bus), gate),
      vector: gated(this.#watched('vector', vector), gate),
      processes: gated(this.#watchedHost(), gate),
      probe: gated({ probe: async (_check: unknown, { service }: { service: string }) => this.#probe(service) }, gate),
      run: async () => undefined,
    };
    const door = this.#door();
    const surroundings = {
      fetch: this.#world.fetchFrom(this, gate),
      host: () => ({ host: this.name, ip: this.ip }),
      metrics: () => ({}),
    };
    const member = await this.#world.memberOf(this, identity.node_id);
    const { cloud_url } = config;
    const membership = member && (await createMembership(member, { ...machine, fetch: surroundings.fetch, cloud_url }));
    const life = await createNodeLife({
      config,
      machine,
      identity,
      ports,
      door,
      fleetKey: membership ?? this.#world.fleetKey,
      lan: run.lan.lan,
      surroundings,
    });
    if (!run.alive) return;
    run.life = life;
    run.answer = life.answer;
    await life.run(new AbortController().signal);
    if (run.alive) this.#end();
  }

  /** A backend that tells of each call before it is made. */
  #watched<Port extends object>(port: PortCall['port'], backend: Port): Port {
    const entries = Object.entries(backend).map(([method, value]) => {
      if (typeof value !== 'function') return [method, value];
      const call = (...args: unknown[]) => {
        this.#world.onPort(this, { port, method, args });
        return value.apply(backend, args);
      };
      return [method, call];
    });
    return Object.fromEntries(entries) as Port;
  }

  #watchedHost(): ProcessHost {
    const host = fakeProcessHost(this.services);
    return {
      ...host,
      start: (spec) => {
        this.#world.onService(this, { kind: 'start', spec });
        return host.start(spec);
      },
      signal: (ref, signal) => {
        const process = this.services.find(ref);
        if (process?.alive === true) this.#world.onService(this, { kind: 'signal', ...process.spec });
        return host.signal(ref, signal);
      },
    };
  }

  #door() {
    const url = () => this.origin;
    return {
      get url() {
        return url();
      },
      loopback: 'http://127.0.0.1:7420',
      get origins() {
        return [url(), 'http://127.0.0.1:7420'];
      },
    };
  }

  #probe(service: string) {
    const healthy = this.services.alive(service).length > 0;
    return { healthy, detail: healthy ? 'it runs' : 'it does not run' };
  }

  /** One write after the other, each as slow as the disk is now. */
  #diskTurn(clock: Clock, run: Run): Promise<void> | undefined {
    if (!run.alive) return new Promise(() => undefined);
    const delay = this.#world.diskDelay(this);
    const now = clock.monotonic();
    if (delay === 0 && run.diskFree <= now) return undefined;
    run.diskFree = Math.max(now, run.diskFree) + delay;
    return clock.sleep(run.diskFree - now);
  }
}
