import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { createNodeFinder } from '../../../runtime-node/node-finder.ts';
import { createProofFetch } from '../../../runtime-node/proof-fetch.ts';
import { createClient, type Fetch } from '../../../shared/client.ts';
import { type FleetKeys, isKeyHolder } from '../../../shared/contract/fleet-keys.ts';
import type { FollowingKeys } from '../../../shared/contract/member-keys.ts';
import { createDiscovery } from '../../../shared/discovery/discovery.ts';
import { identify } from '../../../shared/discovery/identify.ts';
import { createReportQueue } from '../../../shared/discovery/report-queue.ts';
import type { Discovery, DiscoveryConfig } from '../../../shared/discovery/types.ts';
import type { Database } from '../../../shared/ports/database.ts';
import type { Lan } from '../../../shared/ports/lan.ts';
import { createSupervisor, type SupervisorOptions } from '../../../shared/supervisor/app.ts';
import { keepAges } from '../../../shared/supervisor/store/set-back.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { drain } from '../../support/drain.ts';
import { MemoryLan } from '../../support/memory-lan.ts';
import { memoryStateFiles } from '../../support/memory-state-files.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';
import { FLEET_KEY, keys, recordingEnvironment, recordingServices } from './harness.ts';
import { aborted, refused } from './no-answer.ts';

export const CLOUD = 'https://cloud.example';
export const TTL_MS = 15_000;

/** A connection between two machines; it lasts as long as its answer. */
interface Connection {
  readonly from: string;
  readonly to: string;
  readonly isNews: boolean;
  /** One of the two processes died: the other sees it end. */
  breakOff(): void;
}

/**
 * Several whole nodes on one LAN in simulated time: the real Discovery and the real Supervisor of each, over
 * HTTP without sockets. A machine may be cut off (packets vanish), a process may die (its machine refuses).
 */
export class Fleet {
  readonly clock = new SimulatedClock();
  readonly log = recordingLog();
  readonly lan = new MemoryLan({ clock: this.clock, log: this.log, path: (from, to) => (this.isCut(from, to) ? [] : [1]) });
  readonly machines = new Map<string, FleetMachine>();
  /** Addresses of machines that no packet reaches or leaves. */
  readonly cut = new Set<string>();
  /** Addresses whose news stall, while all else of them goes through. */
  readonly muted = new Set<string>();
  /** Says which packets are lost beside those of `cut`, also on the way to `CLOUD`. */
  partition: ((from: string, to: string) => boolean) | undefined;
  /** What answers at an address where no node of ours is. */
  readonly strangers = new Map<string, Fetch>();
  /** Called with each request that arrives, whoever it is from; for looking on. */
  onRequest: ((from: string, to: string, request: Request) => void) | undefined;
  readonly #connections = new Set<Connection>();
  readonly #cloudDatabase = openSqlite({ path: ':memory:', clock: this.clock, migrations });
  readonly cloud = { reachable: false, supervisor: this.#createCloud() };

  /** A new machine with the first unused address. */
  machine(name: string, config: Partial<DiscoveryConfig> = {}, kit: Kit = {}): FleetMachine {
    const machine = new FleetMachine(this, name, `192.0.2.${this.machines.size + 1}`, config, kit);
    this.machines.set(machine.address, machine);
    return machine;
  }

  /** Machines `a`, `b`, ... whose nodes have booted, found each other, and agreed on a leader. */
  async booted(count: number, config: Partial<DiscoveryConfig> = {}): Promise<FleetMachine[]> {
    const machines = Array.from({ length: count }, (_, index) => this.machine(String.fromCharCode(97 + index), config));
    for (const machine of machines) await machine.boot();
    await this.elapse(10_000);
    return machines;
  }

  elapse(ms: number): Promise<void> {
    return this.clock.advance(ms);
  }

  /** Lets time pass until something is so; resolves with the milliseconds that it took. Throws when it takes longer than `limit_ms`. */
  async until(isSo: () => boolean, limit_ms: number, step_ms = 10): Promise<number> {
    const began = this.clock.monotonic();
    await drain();
    while (!isSo()) {
      const passed = this.clock.monotonic() - began;
      if (passed >= limit_ms) throw new Error(`not so after ${passed} ms: ${this.standing()}`);
      await this.elapse(step_ms);
    }
    return this.clock.monotonic() - began;
  }

  /** Those that lead, each by its own account. */
  leaders(): FleetMachine[] {
    return [...this.machines.values()].filter((machine) => machine.running?.discovery.state().leads === true);
  }

  /** In words, for a test that fails. */
  standing(): string {
    const states = [...this.machines.values()].map(({ name, running }) => {
      if (running === undefined) return `${name} is down`;
      const { leads, epoch, source, leader_node_id, waiting_for } = running.discovery.state();
      return `${name} ${leads ? 'leads' : `follows ${leader_node_id} (${source})`} at ${epoch}${waiting_for.length > 0 ? `, waits for ${waiting_for.join('; ')}` : ''}`;
    });
    return states.join('\n');
  }

  isCut(from: string, to: string): boolean {
    return from !== to && (this.cut.has(from) || this.cut.has(to) || this.partition?.(from, to) === true);
  }

  async close(): Promise<void> {
    for (const machine of this.machines.values()) await machine.close();
    await this.#cloudDatabase.close();
  }

  /** The write budget of the cloud's database asks for this TTL; 0 for any. */
  async stretchCloud(seconds: number): Promise<void> {
    const sql = `insert into pace (fleet, stretch_seconds, writers, counted_rows, counted_at) values ('*', ?, 0, 0, 0)
      on conflict (fleet) do update set stretch_seconds = excluded.stretch_seconds`;
    await this.#cloudDatabase.batch([{ sql, params: [seconds] }]);
  }

  /** HTTP from one machine to another, or to the cloud, 1 ms under way. */
  fetchFrom(from: string): Fetch {
    return async (request) => {
      const { origin, hostname } = new URL(request.url);
      await this.clock.sleep(1, request.signal);
      if (request.signal.aborted) throw new DOMException('aborted', 'AbortError');
      const isToCloud = origin === CLOUD;
      const to = isToCloud ? CLOUD : hostname;
      const answers = isToCloud
        ? this.cloud.supervisor.fetch
        : (this.strangers.get(hostname) ?? this.machines.get(hostname)?.running?.answer);
      const isKnown = this.machines.has(hostname) || this.strangers.has(hostname);
      const isSilent = isToCloud ? !this.cloud.reachable || this.isCut(from, CLOUD) : this.isCut(from, hostname) || !isKnown;
      if (isSilent) return aborted(request.signal);
      if (answers === undefined) throw refused(hostname);
      this.onRequest?.(from, to, request);
      const isNews = new URL(request.url).pathname === '/v1/news';
      return this.#carry({ from, to, isNews }, await answers(request), request.signal);
    };
  }

  /** A machine gets another address while its node runs on, as from DHCP. */
  move(machine: FleetMachine, address: string): void {
    this.machines.delete(machine.address);
    this.breakConnections(machine.address);
    machine.address = address;
    this.machines.set(address, machine);
  }

  /** A process is dead: whoever talks to it sees that. */
  breakConnections(address: string): void {
    for (const connection of [...this.#connections]) if (connection.from === address || connection.to === address) connection.breakOff();
  }

  /** Passes an answer on as long as both processes live and nothing is cut between them. */
  #carry(ends: Omit<Connection, 'breakOff'>, response: Response, signal: AbortSignal): Response {
    const { body, status, headers } = response;
    if (body === null) return response;
    const reader = body.getReader();
    let fail: (error: Error) => void = () => undefined;
    const connection: Connection = { ...ends, breakOff: () => fail(new TypeError('terminated')) };
    this.#connections.add(connection);
    const end = () => {
      this.#connections.delete(connection);
      void reader.cancel().catch(() => undefined);
    };
    const carried = new ReadableStream<Uint8Array>({
      start: (controller) => {
        fail = (error) => {
          end();
          controller.error(error);
        };
        signal.addEventListener('abort', () => fail(new DOMException('aborted', 'AbortError')), { once: true });
      },
      pull: async (controller) => {
        for (;;) {
          const part = await reader.read().catch(() => undefined);
          if (part === undefined) return;
          const isLost = this.isCut(ends.from, ends.to) || (ends.to === CLOUD && !this.cloud.reachable);
          if (isLost || (ends.isNews && this.muted.has(ends.to))) {
            // Not even its end arrives.
            if (part.done) return;
            continue;
          }
          if (part.done) controller.close();
          else controller.enqueue(part.value);
          if (part.done) this.#connections.delete(connection);
          return;
        }
      },
      cancel: end,
    });
    return new Response(carried, { status, headers });
  }

  #createCloud() {
    return createSupervisor({
      database: this.#cloudDatabase,
      clock: this.clock,
      random: seededRandom(99),
      log: this.log,
      fleets: { default_fleet: 'default', keysOf: async (fleet) => (fleet === 'default' ? keys : undefined) },
      version: '0.0.0-test',
      ttl_seconds: TTL_MS / 1000,
    });
  }
}

/** What a machine has that others have not. */
export interface Kit {
  /** Of another fleet. Default: the fleet's own. */
  readonly keys?: FleetKeys | FollowingKeys;
  /** What checks JWTs at its Supervisor. Absent: it takes none by itself. */
  readonly tokens?: SupervisorOptions['tokens'];
  /** Of a node without the fleet key: sends what it has in place of its local credential. */
  readonly wrap?: (fetch: Fetch) => Fetch;
  /** False where multicast is off. */
  readonly multicast?: boolean;
  /** The cloud, which alone publishes. Without it a leader publishes too, as one did before it was given a cloud. */
  readonly documents_url?: string;
}

interface Running {
  readonly discovery: Discovery;
  readonly answer: Fetch;
  readonly services: ReturnType<typeof recordingServices>;
  readonly crash: AbortController;
  readonly lan: Lan | undefined;
  /** The address that its LAN knows it by. */
  readonly joined: string;
  readonly ended: Promise<void>;
}

/** A machine of the fleet: its disk outlives its processes. */
export class FleetMachine {
  readonly files = memoryStateFiles();
  readonly log = recordingLog();
  /** What services and environment were told, over all boots. */
  readonly trace: string[] = [];
  running: Running | undefined;
  node_id: string;
  address: string;
  readonly name: string;
  readonly #fleet: Fleet;
  readonly #config: Partial<DiscoveryConfig>;
  readonly #kit: Kit;
  readonly #database: Database;
  readonly #random;

  constructor(fleet: Fleet, name: string, address: string, config: Partial<DiscoveryConfig>, kit: Kit) {
    this.#fleet = fleet;
    this.#kit = kit;
    this.#config = config;
    this.name = name;
    this.node_id = name;
    this.address = address;
    this.#database = openSqlite({ path: ':memory:', clock: fleet.clock, migrations, set_back: keepAges });
    this.#random = seededRandom(name.charCodeAt(0));
  }

  get url(): string {
    return `http://${this.address}:7420`;
  }

  get discovery(): Discovery {
    if (this.running === undefined) throw new Error(`${this.name} is not running`);
    return this.running.discovery;
  }

  get state() {
    return this.discovery.state();
  }

  /** A client of this node's own Supervisor with the fleet key. */
  get client() {
    const answer = this.running?.answer;
    if (answer === undefined) throw new Error(`${this.name} is not running`);
    return createClient({ url: this.url, credential: FLEET_KEY, fetch: answer });
  }

  async boot(): Promise<void> {
    const { clock } = this.#fleet;
    const shared = { clock, log: this.log, files: this.files, random: this.#random };
    const identity = await identify({ ...shared, node_id: this.node_id });
    const reports = createReportQueue();
    const services = recordingServices(this.trace, reports.report, identity.node_id);
    const late: { discovery?: Discovery } = {};
    const own = this.#kit.keys ?? keys;
    const { lead = true, cloud_url } = this.#config;
    const line: Fetch = (request) => this.#fleet.fetchFrom(this.address)(request);
    const proving = isKeyHolder(own) && cloud_url !== undefined ? await createProofFetch(line, own, identity.node_id) : line;
    const fetch = this.#kit.wrap?.(line) ?? proving;
    const finder = createNodeFinder({
      config: { fleet: 'default', lead, ...(cloud_url === undefined ? {} : { cloud_url }) },
      machine: shared,
      ...(isKeyHolder(own) ? {} : { membership: { keys: own } }),
      fetch,
      leads: () => late.discovery?.state().leads === true,
    });
    const supervisor = this.#createSupervisor(identity, () => late.discovery, finder);
    const lan = this.#kit.multicast === false ? undefined : this.#fleet.lan.join(this.address);
    const discovery = createDiscovery({
      ...shared,
      config: {
        fleet: 'default',
        site: 'default',
        capabilities: [],
        advertise_url: () => this.url,
        lead: true,
        peers: [],
        versions: { bootplane: '0.1.0' },
        ttl_seconds: TTL_MS / 1000,
        ...this.#config,
      },
      identity,
      fleetKeys: own,
      credential: isKeyHolder(own) ? await own.nodeCredential(identity.node_id) : own.local_credential,
      fetch,
      self: { url: this.url, fetch: supervisor.fetch },
      ...(lan === undefined ? {} : { lan }),
      host: () => ({ host: this.name, ip: this.address }),
      environment: recordingEnvironment(this.trace),
      services,
      reports,
    });
    late.discovery = discovery;
    const crash = new AbortController();
    this.running = { discovery, services, crash, lan, joined: this.address, answer: supervisor.fetch, ended: discovery.run(crash.signal) };
  }

  /** The process is dead; the machine refuses connections. */
  kill(): void {
    const { running } = this;
    if (running === undefined) return;
    this.running = undefined;
    running.crash.abort();
    this.#fleet.lan.crash(running.joined);
    this.#fleet.breakConnections(this.address);
  }

  /** An orderly stop, or `leave`; resolves when it has ended, which takes simulated time. */
  async stop(how: 'stop' | 'leave' = 'stop'): Promise<void> {
    const { running } = this;
    if (running === undefined) return;
    await running.discovery[how]();
    await running.ended;
    await running.lan?.close();
    this.running = undefined;
    this.#fleet.breakConnections(this.address);
  }

  async close(): Promise<void> {
    this.kill();
    await drain();
    await this.#database.close();
  }

  /** What was logged at this level. */
  logged(level: 'warn' | 'error'): string[] {
    return this.log.lines.filter((line) => line.level === level).map(({ message }) => message);
  }

  #createSupervisor(
    identity: { node_id: string; instance_id: string },
    discovery: () => Discovery | undefined,
    finder: Pick<SupervisorOptions, 'finder'>,
  ) {
    return createSupervisor({
      database: this.#database,
      clock: this.#fleet.clock,
      random: this.#random,
      log: this.log,
      fleets: { default_fleet: 'default', keysOf: async (fleet) => (fleet === 'default' ? (this.#kit.keys ?? keys) : undefined) },
      ...finder,
      ...(this.#kit.tokens && { tokens: this.#kit.tokens }),
      version: '0.0.0-test',
      ttl_seconds: TTL_MS / 1000,
      emit: (topic) => {
        if (topic === 'overlay.plan' || topic === 'overlay.profile') discovery()?.poke();
      },
      self: {
        ...identity,
        site: this.#config.site ?? 'default',
        ...(this.#kit.documents_url === undefined ? {} : { documents_url: this.#kit.documents_url }),
        origins: () => [this.url],
        provisional: () => discovery()?.state().provisional ?? false,
        confirmed: () => discovery()?.state().confirmed ?? false,
        leadership: () => discovery()?.leadership() ?? { leads: false, epoch_seen: 0, eligible: false },
        hear: (advert) => discovery()?.hear(advert),
        onHigherToken: () => discovery()?.look(),
        onDesired: (desired) => discovery()?.heedDesired(desired),
      },
    });
  }
}
