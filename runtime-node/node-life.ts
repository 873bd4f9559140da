import type { Fetch } from '../shared/client.ts';
import { deriveFleetKeys, isKeyHolder, type NodeKeys } from '../shared/contract/fleet-keys.ts';
import { toRetention } from '../shared/decide/retention.ts';
import { PROXY_CAPABILITY } from '../shared/decide/roles.ts';
import { createDiscovery } from '../shared/discovery/discovery.ts';
import type { Identity } from '../shared/discovery/identify.ts';
import type { Membership } from '../shared/discovery/membership.ts';
import { createOwnToken, type OwnToken } from '../shared/discovery/own-token.ts';
import { createReportQueue } from '../shared/discovery/report-queue.ts';
import type { Discovery, DiscoveryState, Untold } from '../shared/discovery/types.ts';
import type { Lan } from '../shared/ports/lan.ts';
import { createAttempts } from '../shared/reconcile/attempts.ts';
import { type Conflicts, createConflicts } from '../shared/reconcile/fall-forward/conflicts.ts';
import { createEnvironmentReconciler } from '../shared/reconcile/reconciler.ts';
import { createServiceManager } from '../shared/reconcile/services/manager.ts';
import type { EnvironmentReconciler, ServiceManager } from '../shared/reconcile/types.ts';
import { createSupervisor, type Keyring, type Supervisor } from '../shared/supervisor/app.ts';
import type { TokenVerifier } from '../shared/supervisor/auth.ts';
import { inMemoryLimits, type RateLimits } from '../shared/supervisor/rate-limits.ts';
import { refuseExposed } from '../shared/supervisor/tokens/exposed.ts';
import { watchedFile } from './adapters/watched-file.ts';
import type { ServiceArtifacts } from './artifacts/service-artifacts.ts';
import type { Machine, Ports } from './compose.ts';
import type { Config } from './config.ts';
import { damageReporter } from './damage-report.ts';
import type { Damages } from './damages.ts';
import { withRetiredKeys } from './document-keys.ts';
import type { Door } from './door.ts';
import { deciderOf } from './followed.ts';
import { forwardReporter } from './forward-report.ts';
import { createFrontDoor } from './front-door.ts';
import type { Origin } from './http-server.ts';
import { openTokenVerifier } from './jwt.ts';
import { createMemberFetch } from './member-fetch.ts';
import { createNodeArtifacts } from './node-artifacts.ts';
import { createNodeFetch } from './node-fetch.ts';
import { createNodeFinder } from './node-finder.ts';
import { nodeHealth } from './node-health.ts';
import { createNodePrune, type NodePrune } from './node-prune.ts';
import { createOverlay } from './overlay.ts';
import { ownAddress } from './own-address.ts';
import { packageVersion } from './package-root.ts';
import { createProofFetch } from './proof-fetch.ts';
import { createServiceEnvironment } from './service-environment.ts';
import { reconciledBy, sharedBackends } from './shared-backends.ts';
import { createTokenFetch } from './token-fetch.ts';

export interface NodeParts {
  readonly config: Config;
  readonly machine: Omit<Machine, 'damages'>;
  readonly identity: Identity;
  readonly ports: Ports;
  /** What was set aside of the files of this machine, for health and events. */
  readonly damages?: Pick<Damages, 'list' | 'onDamage'>;
  /** What a full disk keeps this node from writing, in words for its health. */
  readonly unwritten?: () => readonly string[];
  readonly door: Pick<Door, 'url' | 'loopback' | 'origins'>;
  /** Or, where this node has joined without it, what it has instead. */
  readonly fleetKey: string | Membership;
  /** Absent: this node looks for nobody on its network, and nobody finds it there. */
  readonly lan?: Lan;
  /** What lies around the node. Default: this machine and its network. */
  readonly surroundings?: Surroundings;
}

/** How a node reaches others, and what it tells of its machine. */
export interface Surroundings {
  readonly fetch: Fetch;
  host(): { readonly host: string; readonly ip: string };
  metrics(): Readonly<Record<string, number>>;
}

const THIS_MACHINE: Surroundings = {
  fetch: createNodeFetch(),
  host: ownAddress,
  metrics: () => ({ uptime_seconds: Math.round(process.uptime()), resident_bytes: process.memoryUsage.rss() }),
};

/** One node, put together and not yet running. */
export interface NodeLife {
  /** Answers what comes in over HTTP. `here`: from this machine itself, which the data API of services asks for. */
  answer(request: Request, from?: Origin): Promise<Response>;
  /** Resolves after an orderly stop, or at once when `crash` aborts: then nothing is stopped or released. */
  run(crash: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** Stops in order, and tells the control plane before that this node is not expected any more. */
  leave(): Promise<void>;
  /** Why `leave` would tell nobody now; undefined where it tells somebody. */
  untold(): Untold | undefined;
  state(): DiscoveryState;
}

interface Parts extends NodeParts {
  readonly surroundings: Surroundings;
  readonly fleetKeys: NodeKeys;
  /** Absent: this node holds the fleet key. */
  readonly membership?: Membership;
  readonly environment: EnvironmentReconciler;
  readonly prune: NodePrune['prune'];
  /** Undefined where this node has no external. */
  readonly conflicts: Conflicts | undefined;
  readonly services: ServiceManager;
  readonly artifacts: ServiceArtifacts;
  readonly reports: ReturnType<typeof createReportQueue>;
  /** Absent: this node takes no JWTs. */
  readonly tokens?: TokenVerifier;
  /** Absent: this node's credential is the one that follows from the fleet key. */
  readonly ownToken?: OwnToken;
}

const SWEEP_INTERVAL_MS = 60_000;
/** How long an orderly stop may take for the last events to reach the bus. What is left goes after the next start. */
const FLUSH_LIMIT_MS = 2000;

export async function createNodeLife(given: NodeParts): Promise<NodeLife> {
  // The two know each other only through requests: the Supervisor shows how discovery stands, discovery calls the Supervisor.
  const late: { discovery?: Discovery } = {};
  const parts = await assemble(given, () => late.discovery);
  const { config } = parts;
  const origins = new WeakMap<Request, Origin>();
  const supervisor = await buildSupervisor(parts, () => late.discovery, origins);
  const discovery = await buildDiscovery(parts, supervisor);
  late.discovery = discovery;
  for (const kind of ['plan', 'profile'] as const) {
    const body = config.seeds[kind];
    if (body !== undefined) await supervisor.seed(config.fleet, kind, body);
  }
  const door = buildFrontDoor(parts, supervisor, discovery);
  return {
    answer(request, from) {
      if (from !== undefined) origins.set(request, from);
      const isExposed = from?.here === false && !from.secure && !config.insecure_http;
      const refused = isExposed ? refuseExposed(request) : undefined;
      if (refused !== undefined) return Promise.resolve(refused);
      return door(request);
    },
    run: (crash) => live(parts, supervisor, discovery, crash),
    stop: () => discovery.stop(),
    leave: () => discovery.leave(),
    untold: () => discovery.untold(),
    state: () => discovery.state(),
  };
}

async function assemble(given: NodeParts, discovery: () => Discovery | undefined): Promise<Parts> {
  const { config, identity, ports, door } = given;
  const { clock, random, log, files } = given.machine;
  const reports = createReportQueue();
  given.damages?.onDamage(damageReporter(identity.node_id, reports.report));
  const shared = {
    node_id: identity.node_id,
    clock,
    log,
    attempts: createAttempts({ files, clock, log }),
    report: reports.report,
  };
  const { storage, bus, vector, processes, probe, externals } = ports;
  externals?.onEvent(forwardReporter(identity.node_id, externals.forwards, reports.report));
  const artifacts = createNodeArtifacts({ ...given, data_dir: config.data_dir, discovery });
  const membership = typeof given.fleetKey === 'string' ? undefined : given.fleetKey;
  const fleetKeys = await keysOf(given);
  const around = given.surroundings ?? THIS_MACHINE;
  const ownToken = membership === undefined ? openToken(given) : membership.token;
  const surroundings = { ...around, fetch: await showing(around.fetch, given, { fleetKeys, ownToken }) };
  const tokens = await openTokenVerifier({ config, clock, log, fetch: around.fetch, fleets: keyringOf({ config, fleetKeys }) });
  const ip = () => surroundings.host().ip;
  const place = { node_id: identity.node_id, site: config.site, url: () => door.loopback, keys: fleetKeys };
  const common = {
    ...shared,
    reconciledBy: reconciledBy(discovery, ip),
    ...(externals === undefined ? {} : { forwards: externals.forwards }),
  };
  const { prune, reconciler } = createNodePrune({ ...common, ports, fleetKeys, discovery });
  return {
    ...given,
    prune,
    conflicts: externals && createConflicts({ ...shared, forwards: externals.forwards, moved: externals.lookForStranded }),
    surroundings,
    ...(tokens === undefined ? {} : { tokens }),
    ...(ownToken === undefined ? {} : { ownToken }),
    ...(membership === undefined ? {} : { membership }),
    fleetKeys,
    reports,
    artifacts,
    environment: {
      ...createEnvironmentReconciler({
        ...{ ...common, ...reconciler, storage, bus, vector },
        ...(externals === undefined ? {} : { onPrepared: externals.prepared }),
      }),
      onPresence: (listener) => externals?.onPresence(listener),
    },
    services: createServiceManager({
      ...shared,
      random,
      host: processes,
      probe,
      environment: createServiceEnvironment(place),
      prepare: artifacts.prepare,
    }),
  };
}

/** By which this node tells what is genuine, and, where it holds the fleet key, makes it. */
async function keysOf({ config, fleetKey, machine }: NodeParts): Promise<NodeKeys> {
  if (typeof fleetKey !== 'string') return fleetKey.keys;
  return withRetiredKeys(machine, await deriveFleetKeys(config.fleet, fleetKey), fleetKey);
}

function openToken({ config, machine }: NodeParts): OwnToken | undefined {
  return config.token_file === undefined ? undefined : createOwnToken(watchedFile(config.token_file), machine);
}

/** A fetch that shows the other side what this node has for it. Without a cloud no leader of its site lacks the fleet key. */
async function showing(
  fetch: Fetch,
  { config, identity, fleetKey }: NodeParts,
  { fleetKeys, ownToken }: { readonly fleetKeys: NodeKeys; readonly ownToken: OwnToken | undefined },
): Promise<Fetch> {
  if (typeof fleetKey !== 'string') return createMemberFetch(fetch, fleetKey);
  const shown = ownToken === undefined ? fetch : createTokenFetch(fetch, { ...config, ...identity, token: ownToken });
  return config.cloud_url === undefined || !isKeyHolder(fleetKeys) ? shown : createProofFetch(shown, fleetKeys, identity.node_id);
}

async function buildSupervisor(
  parts: Parts,
  discovery: () => Discovery | undefined,
  origins: Pick<WeakMap<Request, Origin>, 'get'>,
): Promise<Supervisor> {
  const { config, machine, ports, door, identity, environment, services } = parts;
  const state = () => discovery()?.state();
  // A heartbeat says nothing any more when a broker comes back: the embedded bus does not keep it for that.
  const direct = ports.externals?.forwards.broker?.external ?? ports.bus;
  const overlay = createOverlay({ bus: ports.bus, direct, log: machine.log });
  return createSupervisor({
    ...machine,
    database: ports.database,
    artifacts: parts.artifacts.store,
    data: { ...ports, isFromHere: (request) => origins.get(request)?.here === true },
    ...(config.rate_limit === 0 ? {} : { limits: { ...inMemoryLimits(machine.clock, config.rate_limit), addressOf: strangerOf(origins) } }),
    fleets: keyringOf(parts),
    ...(parts.tokens === undefined ? {} : { tokens: parts.tokens }),
    ...createNodeFinder({ ...parts, fetch: parts.surroundings.fetch, leads: () => state()?.leads === true }),
    version: packageVersion(),
    ttl_seconds: config.ttl_seconds,
    write_budget: config.write_budget,
    retention: toRetention(config),
    self: {
      node_id: identity.node_id,
      instance_id: identity.instance_id,
      site: config.site,
      ...(config.cloud_url === undefined ? {} : { documents_url: config.cloud_url }),
      origins: () => door.origins,
      provisional: () => state()?.provisional ?? false,
      confirmed: () => state()?.confirmed ?? false,
      leading: () => {
        const now = state();
        return now?.source === 'self' && now.leads ? now.epoch : undefined;
      },
      backends: () => sharedBackends(ports, parts.surroundings.host().ip),
      leadership: () => discovery()?.leadership() ?? { leads: false, epoch_seen: 0, eligible: config.lead },
      hear: (advert) => discovery()?.hear(advert),
      onHigherToken: () => discovery()?.look(),
      onDesired: (desired) => discovery()?.heedDesired(desired),
    },
    emit: (topic, body, key) => {
      // The node that published, or whose Supervisor did, need not wait for its next heartbeat.
      if (topic === 'overlay.plan' || topic === 'overlay.profile') discovery()?.poke();
      // The others are in the log, and go from there.
      if (topic === 'overlay.heartbeat') overlay.emit(topic, body, key);
    },
    overlay,
    ...(parts.prune === undefined ? {} : { prune: parts.prune }),
    ...(parts.conflicts === undefined ? {} : { conflicts: parts.conflicts }),
    reconcile_diff: async (drafts) => ({ components: (await discovery()?.diff(drafts)) ?? [] }),
    health: async () => {
      const now = state();
      return now === undefined
        ? { status: 'starting' }
        : nodeHealth({
            state: now,
            environment,
            services,
            ...ports,
            ...ports.externals,
            set_aside: parts.damages?.list ?? [],
            credential: parts.ownToken?.trouble(),
            unwritten: parts.unwritten?.() ?? [],
          });
    },
  });
}

/** What comes from this machine itself is not limited. */
function strangerOf(origins: Pick<WeakMap<Request, Origin>, 'get'>): RateLimits['addressOf'] {
  return (request) => {
    const from = origins.get(request);
    return from?.here === false ? from.address : undefined;
  };
}

function keyringOf({ config, fleetKeys }: Pick<Parts, 'config' | 'fleetKeys'>): Keyring {
  return { default_fleet: config.fleet, keysOf: async (fleet) => (fleet === config.fleet ? fleetKeys : undefined) };
}

function buildFrontDoor(parts: Parts, supervisor: Supervisor, discovery: Discovery): Fetch {
  const { config, machine, fleetKeys, identity, surroundings } = parts;
  const { cloud_url, site } = config;
  return createFrontDoor({
    own: supervisor.fetch,
    fetch: surroundings.fetch,
    clock: machine.clock,
    keys: fleetKeys,
    identity,
    site,
    isGateway: config.capabilities.includes(PROXY_CAPABILITY),
    ...(cloud_url === undefined ? {} : { cloud_url }),
    authenticate: supervisor.authenticate,
    checksJwts: parts.tokens !== undefined,
    decider: () => deciderOf(discovery.state()),
    published: (desired) => {
      discovery.poke(desired);
      // It answers: a leader that it has not confirmed need not wait for its next look.
      if (discovery.state().provisional) discovery.look();
    },
  });
}

async function buildDiscovery(parts: Parts, supervisor: Supervisor): Promise<Discovery> {
  const { config, machine, door, fleetKeys, identity, environment, services, reports, surroundings, lan } = parts;
  const { cloud_url } = config;
  return createDiscovery({
    ...machine,
    config: {
      fleet: config.fleet,
      site: config.site,
      capabilities: config.capabilities,
      advertise_url: () => door.url,
      ...(cloud_url === undefined ? {} : { cloud_url }),
      lead: config.lead,
      ...(parts.membership?.https_only === true ? { https_only: true } : {}),
      peers: config.peers,
      versions: { bootplane: packageVersion(), node: process.versions.node },
      ttl_seconds: config.ttl_seconds,
    },
    identity,
    fleetKeys,
    credential: isKeyHolder(fleetKeys) ? await fleetKeys.nodeCredential(identity.node_id) : fleetKeys.local_credential,
    fetch: surroundings.fetch,
    ...(lan === undefined ? {} : { lan }),
    self: { url: door.url, fetch: supervisor.fetch },
    host: surroundings.host,
    environment,
    services,
    reports,
    metrics: surroundings.metrics,
  });
}

async function live(
  { machine, ports, ownToken, membership }: Parts,
  supervisor: Supervisor,
  discovery: Discovery,
  crash: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const background = AbortSignal.any([ended.signal, crash]);
  const loops = Promise.all([
    ports.run(background),
    sweep(machine, supervisor, background),
    supervisor.outbox?.run(background),
    ownToken?.run(background),
    membership?.run(background),
  ]);
  try {
    await discovery.run(crash);
  } finally {
    ended.abort();
    await loops;
    if (!crash.aborted) await supervisor.outbox?.flush(FLUSH_LIMIT_MS);
  }
}

async function sweep({ clock, log }: NodeParts['machine'], supervisor: Supervisor, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(SWEEP_INTERVAL_MS, signal);
    if (!signal.aborted)
      await supervisor.sweep().catch((error: unknown) => log.warn('the sweep of the event log failed', { error: String(error) }));
  }
}
