import type { EnvironmentComponentName } from '../shared/contract/backlog.ts';
import type { EnvironmentProfile } from '../shared/contract/profile.ts';
import type { Backlog } from '../shared/ports/backlog.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { EmbeddedBus, EventBus } from '../shared/ports/event-bus.ts';
import type { Log } from '../shared/ports/log.ts';
import type { ObjectStorage } from '../shared/ports/object-storage.ts';
import type { Random } from '../shared/ports/random.ts';
import type { VectorIndex } from '../shared/ports/vector-index.ts';
import { type AdoptDeps, type Adoption, createAdoption } from '../shared/reconcile/fall-forward/adopt.ts';
import { createForwardBus } from '../shared/reconcile/fall-forward/bus.ts';
import { objectsHeld, vectorsHeld } from '../shared/reconcile/fall-forward/held.ts';
import { createForwardStorage } from '../shared/reconcile/fall-forward/storage.ts';
import type { FallForward, ForwardEvent, Forwards } from '../shared/reconcile/fall-forward/types.ts';
import { createForwardIndex } from '../shared/reconcile/fall-forward/vector.ts';
import { foldClassName } from '../shared/reconcile/vector-diff.ts';
import { ARTIFACT_BUCKET } from '../shared/supervisor/store/artifacts.ts';
import type { AloneNotes } from './alone-notes.ts';
import { strandedIn } from './backlog-health.ts';
import { createPresenceWatch, type PresenceWatch } from './presence-watch.ts';
import { messageOf } from './thrown.ts';

/** What a node does about externals that may be away. */
export interface NodeForwards extends Pick<PresenceWatch, 'onPresence' | 'onEvent'> {
  readonly forwards: Forwards;
  /** What waits for externals that are configured no more, in words; known a moment after `run`. */
  readonly stranded: readonly string[];
  /** It may be another now. */
  lookForStranded(): Promise<void>;
  /** The profile to which the embedded defaults were just brought. */
  prepared(profile: EnvironmentProfile): void;
  /** Probes the externals and lets go over what waits, until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** An external with the embedded default that stands in for it. */
export interface Sides<Port, Embedded extends Port = Port> {
  readonly external: Port;
  readonly fallback: Embedded;
  /** The embedded default was made just now: it holds nothing from before. */
  readonly isNew: boolean;
}

export interface NodeForwardsParts {
  readonly machine: { readonly clock: Clock; readonly random: Random; readonly log: Log };
  readonly backlog: Backlog;
  readonly alone: Pick<AloneNotes, 'has' | 'forget'>;
  readonly storage?: Sides<ObjectStorage>;
  readonly broker?: Sides<EventBus, EmbeddedBus>;
  readonly vector?: Sides<VectorIndex>;
}

/** How long a stop waits for calls under way: one to an external that hangs would take a minute to give up. */
const STOP_MS = 1000;
/** The longest that an external counts as away so that what its embedded default held before is not taken for missing. */
const HOLD_MS = 10_000;

export function createNodeForwards(parts: NodeForwardsParts): NodeForwards {
  const { machine, backlog, storage, broker, vector } = parts;
  const watch = createPresenceWatch(() => forwards);
  const deps = <Port, Embedded extends Port>(component: EnvironmentComponentName, { external, fallback }: Sides<Port, Embedded>) => ({
    ...machine,
    ...{ backlog, external, fallback },
    tell: (event: ForwardEvent) => watch.tell(component, event),
  });
  const forwards: Forwards = {
    ...(storage === undefined ? {} : { storage: createForwardStorage(deps('storage', storage)) }),
    ...(broker === undefined ? {} : { broker: createForwardBus(deps('broker', broker)) }),
    ...(vector === undefined ? {} : { vector: createForwardIndex(deps('vector', vector)) }),
  };
  const objects = storage && adopting(parts, forwards.storage, { component: 'storage', ...storage, page: objectsHeld(storage.fallback) });
  const vectors = vector && adopting(parts, forwards.vector, { component: 'vector', ...vector, page: vectorsHeld(vector.fallback) });
  watch.onPresence((component, answers) => {
    if (answers && component === 'storage') void ensureArtifacts(forwards.storage, machine.log);
  });
  const stranded: string[] = [];
  const lookForStranded = async () => {
    stranded.splice(0, stranded.length, ...(await strandedIn(backlog, forwards)));
  };
  const tellStranded = async () => {
    await lookForStranded();
    for (const line of stranded) machine.log.warn(line);
  };
  return {
    forwards,
    stranded,
    lookForStranded,
    onPresence: watch.onPresence,
    onEvent: watch.onEvent,
    prepared(profile) {
      objects?.want([...(profile.storage?.buckets ?? []).map(({ name }) => name), ARTIFACT_BUCKET]);
      vectors?.want((profile.vector?.classes ?? []).map(({ name }) => foldClassName(name)));
    },
    async run(signal) {
      tellStranded().catch((error: unknown) =>
        machine.log.warn(`what waits for other externals could not be looked up: ${messageOf(error)}`),
      );
      const ended = Promise.all([objects?.run(signal), vectors?.run(signal), forwards.broker?.run(signal)]);
      await Promise.race([ended, endedAndOver(machine.clock, signal)]);
    },
  };
}

interface Side extends Pick<Sides<{ readonly backend: { readonly identity: string } }>, 'external' | 'isNew'>, Pick<AdoptDeps, 'page'> {
  readonly component: EnvironmentComponentName;
}

/** Lets an external run as soon as what its embedded default held before is in the backlog. What the profile names later follows. */
function adopting(
  { machine, backlog, alone }: NodeForwardsParts,
  forward: FallForward<unknown> | undefined,
  { component, external, isNew, page }: Side,
): Pick<Adoption, 'want' | 'run'> {
  const target = { component, identity: external.backend.identity };
  const entering: AdoptDeps['backlog'] = {
    isComplete: (of, place) => backlog.isComplete(of, place),
    complete: (of, place) => backlog.complete(of, place),
    async add(entries, options) {
      await backlog.add(entries, options);
      // An external that has all is asked alone: from now on what was entered is read here until it has gone over.
      forward?.wake();
    },
  };
  const adoption = createAdoption({ ...machine, backlog: entering, target, page });
  const adopt = async (signal: AbortSignal) => {
    await adoption.run(signal);
    if (signal.aborted) return;
    await alone.forget(component);
    forward?.wake();
  };
  return {
    want: adoption.want,
    async run(signal) {
      const isKnown = (await backlog.isComplete(target).catch(() => false)) && !(await alone.has(component));
      const adopted = isKnown ? adoption.follow(signal) : adopt(signal).then(() => adoption.follow(signal));
      if (!isKnown && !isNew) await withinHold(machine.clock, adoption.tried, signal);
      await Promise.all([adopted, forward?.run(signal)]);
    },
  };
}

/** Resolves a moment after `signal` has aborted. */
async function endedAndOver(clock: Clock, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await clock.sleep(STOP_MS);
}

async function withinHold(clock: Clock, done: Promise<void>, signal: AbortSignal): Promise<void> {
  const held = new AbortController();
  await Promise.race([done, clock.sleep(HOLD_MS, AbortSignal.any([signal, held.signal]))]);
  held.abort();
}

/** No profile names the bucket of artifacts, so nobody else makes it before what waits goes there. */
async function ensureArtifacts(storage: FallForward<ObjectStorage> | undefined, log: Log): Promise<void> {
  try {
    const [bucket] = (await storage?.fallback.readBuckets([ARTIFACT_BUCKET])) ?? [];
    if (bucket === undefined) return;
    await storage?.external.ensureBucket(ARTIFACT_BUCKET);
    storage?.wake();
  } catch (error) {
    log.warn(`the bucket of artifacts could not be made yet: ${messageOf(error)}`);
  }
}
