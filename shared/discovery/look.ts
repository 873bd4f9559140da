import { linkedAbort } from '../abort.ts';
import type { Candidate, Found } from './candidate.ts';
import { type Challenged, challengeNode, type Proved } from './prove.ts';
import type { LocateContext } from './round.ts';
import type { TracedCandidate } from './trace.ts';

export interface LookOptions {
  /** For each answer, milliseconds. */
  readonly timeout_ms: number;
  /** Origins that are not asked again, and those that now were. */
  readonly asked?: Set<string>;
  /** Ends the look early. */
  isEnough?(found: Found): boolean;
}

/** Asks many at once, each once, and whoever they point to. */
export interface Look {
  add(candidate: Candidate): void;
  /** Turned away without being asked; for the trace. */
  turnAway(candidate: Pick<TracedCandidate, 'url' | 'node_id'>, why: string): void;
  /** Aborts when it is enough, or when the round ends. */
  readonly signal: AbortSignal;
  /** Resolves when all who were added have answered or not. */
  settled(): Promise<void>;
  readonly found: readonly Found[];
  /** Those of whom nothing came in time, and no refusal either. */
  readonly silent: readonly Candidate[];
  readonly traced: readonly TracedCandidate[];
}

const MAX_AT_ONCE = 16;
const MAX_TRACED = 32;

export function createLook(context: LocateContext, { timeout_ms, asked = new Set(), isEnough }: LookOptions): Look {
  const life = linkedAbort(context.signal);
  const own = [originOf(context.deps.config.advertise_url()), originOf(context.deps.self.url)];
  const waiting: Candidate[] = [];
  const found: Found[] = [];
  const silent: Candidate[] = [];
  const traced: TracedCandidate[] = [];
  let running = 0;
  let onIdle: (() => void) | undefined;

  const trace = (one: TracedCandidate) => {
    if (traced.length < MAX_TRACED) traced.push(one);
  };
  const take = (candidate: Candidate, answer: Challenged) => {
    const { url, node_id, via } = candidate;
    if (!('proved' in answer)) {
      const { isSilent, ...told } = answer;
      const isCut = life.signal.aborted && answer.outcome === 'no_answer';
      if (isSilent && !isCut) silent.push(candidate);
      const named = node_id === undefined ? {} : { node_id };
      return trace({ url, ...named, ...told, ...(isCut ? { detail: 'not waited for: another one was found first' } : {}) });
    }
    const one = { ...answer.proved, via };
    found.push(one);
    trace({ url, node_id: one.node_id, outcome: 'found', detail: describeProved(one) });
    if (isEnough?.(one)) return life.abort();
    if (one.follows !== undefined) look.add({ url: one.follows.leader_url, node_id: one.follows.node_id, epoch: one.follows.epoch, via });
  };
  const pump = () => {
    while (running < MAX_AT_ONCE && !life.signal.aborted) {
      const next = waiting.shift();
      if (next === undefined) break;
      running += 1;
      void ask(context, next, timeout_ms, life.signal).then((answer) => {
        running -= 1;
        take(next, answer);
        pump();
      });
    }
    if (running === 0) onIdle?.();
  };
  const look: Look = {
    signal: life.signal,
    found,
    silent,
    traced,
    add(candidate) {
      const url = originOf(candidate.url);
      if (url === '' || asked.has(url) || own.includes(url)) return;
      asked.add(url);
      waiting.push({ ...candidate, url });
      pump();
    },
    turnAway: ({ url, node_id }, why) => trace({ url, ...(node_id === undefined ? {} : { node_id }), outcome: 'rejected', detail: why }),
    async settled() {
      if (running > 0) await new Promise<void>((resolve) => (onIdle = resolve));
      life.abort();
      life.dispose();
    },
  };
  return look;
}

async function ask({ deps, adverts }: LocateContext, { url }: Candidate, timeout_ms: number, signal: AbortSignal): Promise<Challenged> {
  return challengeNode({ deps, signal, timeout_ms, advert: await adverts.own() }, url);
}

function describeProved({ leads, follows, eligible }: Proved): string {
  if (leads !== undefined) return `leads, epoch ${leads.epoch}${leads.provisional ? ', provisional' : ''}`;
  if (follows !== undefined) return `follows ${follows.node_id} at ${follows.leader_url}`;
  return eligible ? 'follows nobody' : 'follows nobody and may not lead';
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : '';
}
