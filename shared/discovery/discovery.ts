import { aborted, linkedAbort } from '../abort.ts';
import { DocumentKind } from '../contract/document.ts';
import type { HeldEmergency } from '../contract/status.ts';
import { createAdverts } from './adverts.ts';
import { type Appliers, createAppliers } from './appliers.ts';
import { createClusterFile } from './cluster-file.ts';
import type { NodeContext } from './context.ts';
import { type Control, createControl } from './control.ts';
import { type Documents, openDocuments } from './documents.ts';
import { openEpochMemory } from './epoch-memory.ts';
import { farewell, whyUntold } from './farewell.ts';
import { createIntent } from './intent.ts';
import { messageOf } from './json-file.ts';
import { holds } from './lease.ts';
import { openPeers } from './peers.ts';
import { createRefusals, type Refusals } from './refusals.ts';
import { cloudSource, sourcesOf } from './sources.ts';
import { createStanding, type Standing } from './standing.ts';
import { createStepsLog } from './steps-log.ts';
import { createTraceKeeper, type TraceKeeper } from './trace.ts';
import type { Discovery, DiscoveryDeps, DiscoveryState, LeadershipState, ProvedSource } from './types.ts';

/** A boot that has no answer after this long, milliseconds, applies what is cached meanwhile. */
const COLD_START_MS = 1000;

/** What is there from the start, and what `run` opens. */
interface Parts {
  readonly deps: DiscoveryDeps;
  readonly standing: Standing;
  readonly refusals: Refusals;
  readonly traces: TraceKeeper;
  opened?: Opened;
}

interface Opened {
  readonly node: NodeContext;
  readonly documents: Documents;
  readonly appliers: Appliers;
  readonly control: Control;
}

/** The life of one node, from boot to orderly stop: loops over the ports that are handed in. */
export function createDiscovery(deps: DiscoveryDeps): Discovery {
  const parts: Parts = {
    deps,
    standing: createStanding(deps),
    refusals: createRefusals(deps.identity.node_id, deps.reports.report, deps.log),
    traces: createTraceKeeper(deps),
  };
  const ending = new AbortController();
  const working = new AbortController();
  let living: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;

  const stop = async (leaves: boolean) => {
    parts.standing.phase = 'stopping';
    working.abort();
    const { opened } = parts;
    const endings = { end: () => ending.abort(), ended: () => living ?? Promise.resolve() };
    if (opened !== undefined) await farewell(opened.node, { ...endings, resign: opened.control.resign }, leaves);
    else await deps.services.stop();
    ending.abort();
    parts.standing.phase = 'stopped';
  };
  return {
    async run(signal) {
      if (stopping !== undefined) return stopping;
      living ??= live(parts, signal, ending.signal, working.signal);
      await Promise.race([living, aborted(signal)]);
      if (stopping !== undefined && !signal.aborted) await stopping;
      else deps.services.detach();
    },
    stop() {
      stopping ??= stop(false);
      return stopping;
    },
    leave() {
      stopping ??= stop(true);
      return stopping;
    },
    untold: () => whyUntold(parts.standing),
    look: () => parts.opened?.control.look(),
    poke: (published) => parts.opened?.control.poke(published),
    heedDesired: (desired) => parts.opened?.control.heedDesired(desired),
    diff: async (drafts) => (await parts.opened?.appliers.diff(drafts)) ?? [],
    intent: createIntent(() => parts.opened?.node),
    state: () => stateOf(parts),
    sources: (signal) => sourcesFor(parts, signal),
    planned: () => parts.opened?.documents.plan?.held.body.services,
    leadership: () => leadershipOf(parts),
    hear: (advert) => void parts.opened?.node.adverts.hear(advert, 'peer'),
    token: () => parts.standing.token,
  };
}

/** Runs all loops. `ending` ends them all, `working` only those that start and change things. */
async function live(parts: Parts, signal: AbortSignal, ending: AbortSignal, working: AbortSignal): Promise<void> {
  try {
    const opened = await open(parts);
    parts.opened = opened;
    const [life, work] = [linkedAbort(signal), linkedAbort(signal)];
    ending.addEventListener('abort', life.abort, { once: true });
    working.addEventListener('abort', work.abort, { once: true });
    if (ending.aborted) life.abort();
    if (working.aborted) work.abort();
    await Promise.all([
      opened.appliers.run(work.signal),
      opened.control.run(life.signal),
      opened.node.adverts.run(life.signal),
      startCold(parts, opened, work.signal),
    ]);
    life.dispose();
    work.dispose();
  } catch (error) {
    parts.deps.log.error(`discovery ended by a fault of its own: ${messageOf(error)}`, { error });
  }
}

async function open(parts: Parts): Promise<Opened> {
  const { deps, standing, refusals, traces } = parts;
  const { node_id } = deps.identity;
  const { credential } = deps;
  const [documents, peers, epochs] = await Promise.all([
    openDocuments(deps),
    openPeers(deps, { node_id, url: deps.config.advertise_url }),
    openEpochMemory(deps),
  ]);
  standing.answer = documents.plan?.answer;
  const clusterFile = createClusterFile(deps, () => stateOf(parts));
  const adverts = createAdverts(deps, epochs, standing, peers);
  const changed = () => {
    becomeReady(parts);
    adverts.update();
    void clusterFile.update();
  };
  const onApplied = () => {
    parts.opened?.control.heartbeat();
    changed();
  };
  const steps = createStepsLog(deps.log);
  const appliers = createAppliers({
    deps,
    documents,
    refusals,
    steps,
    onApplied,
    leads: () => holds(standing.located?.lease, deps.clock),
  });
  const mayApply = () => standing.phase === 'starting' || standing.phase === 'running';
  const applyHeld = () => {
    if (mayApply()) appliers.applyHeld();
    if (documents.plan !== undefined || documents.profile !== undefined) standing.isHandedOn = true;
    changed();
  };
  const supersedePlan = () => {
    if (mayApply()) appliers.supersedePlan();
  };
  const hooks = { applyHeld, supersedePlan, changed };
  const node = { deps, credential, epochs, traces, adverts, peers, documents, refusals, standing, steps, ...hooks };
  return { node, documents, appliers, control: createControl(node) };
}

/** Without an answer, what is cached is applied: a reboot without a network brings everything back. */
async function startCold({ deps, standing }: Parts, { node, documents }: Opened, signal: AbortSignal): Promise<void> {
  await deps.clock.sleep(COLD_START_MS, signal);
  if (signal.aborted || standing.token !== undefined) return;
  if (documents.plan === undefined && documents.profile === undefined) return;
  deps.log.info('no Supervisor has answered yet: what is cached is applied meanwhile');
  standing.isFromCache = true;
  node.applyHeld();
}

/** Once what was handed on has been applied. The time that it took counts from the start of the process, as `monotonic` does on Node. */
function becomeReady({ deps, standing, opened }: Parts): void {
  // While the first look is under way nothing pends, and much else happens.
  if (standing.phase !== 'starting' || !standing.isHandedOn || opened === undefined || opened.appliers.pending().length > 0) return;
  standing.phase = 'running';
  const services = deps.services.reports().length;
  deps.log.info('ready', {
    step: true,
    result: `${standing.role()} of site ${deps.config.site}, ${services} ${services === 1 ? 'service' : 'services'}`,
    duration_ms: deps.clock.monotonic(),
  });
}

function stateOf({ standing, refusals, traces, opened }: Parts): DiscoveryState {
  const snapshot = standing.snapshot();
  const plan = opened?.documents.plan?.held.document.meta.generation;
  const profile = opened?.documents.profile?.document.meta.generation;
  const emergencies = emergenciesOf(opened?.documents);
  const pending = snapshot.phase === 'starting' ? (opened?.appliers.pending() ?? []) : [];
  return {
    ...snapshot,
    generations: { ...(plan === undefined ? {} : { plan }), ...(profile === undefined ? {} : { profile }) },
    ...(emergencies.length === 0 ? {} : { emergencies }),
    waiting_for: [...snapshot.waiting_for, ...(opened?.documents.unverified ?? []), ...refusals.messages(), ...pending],
    ...(traces.last === undefined ? {} : { trace: traces.last }),
  };
}

function emergenciesOf(documents: Documents | undefined): HeldEmergency[] {
  const held = { plan: documents?.plan?.held, profile: documents?.profile };
  return DocumentKind.options.flatMap((kind) => {
    const meta = held[kind]?.document.meta;
    if (meta?.emergency === undefined) return [];
    const { emergency, hash, published_by, published_at } = meta;
    return [{ kind, ...emergency, hash, published_by, published_at }];
  });
}

async function* sourcesFor({ opened }: Parts, signal: AbortSignal): AsyncGenerator<ProvedSource> {
  if (opened === undefined) return;
  yield* sourcesOf(opened.node, signal);
  const cloud = cloudSource(opened.node);
  if (cloud !== undefined) yield cloud;
}

function leadershipOf({ deps, standing, opened }: Parts): LeadershipState {
  const { located } = standing;
  const leads = holds(located?.lease, deps.clock);
  const follows = leads || located?.leader === undefined ? {} : { follows: located.leader };
  return { leads, epoch_seen: opened?.node.epochs.highest ?? 0, eligible: deps.config.lead, ...follows };
}
