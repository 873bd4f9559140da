import { type Answer, ApiError, type Client } from '../client.ts';
import type { UplinkAnswer, UplinkRequest } from '../contract/uplink.ts';
import { onFailure } from './failure.ts';
import type { NodeChanges } from './uplink-changes.ts';
import type { EventBatch } from './uplink-events.ts';

/** What one call tells. Absent: nothing is known of it now. */
export interface Portion {
  readonly nodes: NodeChanges | undefined;
  readonly events: EventBatch | undefined;
}

export type Sent = Answer<UplinkAnswer> & {
  /** What of the portion was in the call that was answered. */
  readonly taken: Portion;
};

export type Drop = (what: Portion, why: string) => void;

type Head = Omit<UplinkRequest, 'nodes' | 'gone' | 'events' | 'missed_events'>;

/**
 * Sends a portion. What the cloud refuses is left out, so that it does not keep what follows: the items that the answer
 * points to, else one half after the other until the one is found. Rejects as the call does when that helps nothing.
 */
export async function sendPortion(cloud: Client, head: Head, portion: Portion, drop: Drop): Promise<Sent> {
  let left = portion;
  let suspect: { readonly what: Portion; readonly why: string } | undefined;
  for (;;) {
    try {
      const answer = await cloud.uplink(bodyOf(head, left));
      if (suspect !== undefined) drop(suspect.what, suspect.why);
      return { ...answer, taken: left };
    } catch (error) {
      if (!(error instanceof ApiError) || onFailure(error) !== 'defect' || isOfAnotherVersion(error) || sizeOf(left) === 0) throw error;
      const why = error.message;
      const pointed = split(left, pointersOf(error));
      if (sizeOf(pointed.refused) > 0) drop(pointed.refused, why);
      else if (sizeOf(left) === 1) suspect = { what: left, why };
      left = sizeOf(pointed.refused) > 0 ? pointed.rest : halve(left);
    }
  }
}

function isOfAnotherVersion({ problem: { code } }: ApiError): boolean {
  return code === 'not_found' || code === 'method_not_allowed';
}

function bodyOf(head: Head, { nodes, events }: Portion): UplinkRequest {
  return {
    ...head,
    ...(nodes === undefined || nodes.nodes.length === 0 ? {} : { nodes: [...nodes.nodes] }),
    ...(nodes === undefined || nodes.gone.length === 0 ? {} : { gone: [...nodes.gone] }),
    ...(events === undefined || events.events.length === 0 ? {} : { events: [...events.events] }),
    ...(events === undefined || events.missed === 0 ? {} : { missed_events: events.missed }),
  };
}

function sizeOf({ nodes, events }: Portion): number {
  return (nodes === undefined ? 0 : nodes.nodes.length + nodes.gone.length) + (events?.events.length ?? 0);
}

/** `nodes/3` of each JSON Pointer into an item. */
function pointersOf({ problem: { errors = [] } }: ApiError): ReadonlySet<string> {
  return new Set(errors.flatMap(({ pointer }) => /^\/((?:nodes|gone|events)\/\d+)(?:\/|$)/.exec(pointer)?.[1] ?? []));
}

function split({ nodes, events }: Portion, pointers: ReadonlySet<string>): { rest: Portion; refused: Portion } {
  const pick = (isRefused: boolean): Portion => ({
    nodes: nodes && {
      ...nodes,
      nodes: nodes.nodes.filter((_, index) => pointers.has(`nodes/${index}`) === isRefused),
      gone: nodes.gone.filter((_, index) => pointers.has(`gone/${index}`) === isRefused),
    },
    events: events && { ...events, events: events.events.filter((_, index) => pointers.has(`events/${index}`) === isRefused) },
  });
  return { rest: pick(false), refused: pick(true) };
}

/** Of several items the first half, of one none. */
function halve({ nodes, events }: Portion): Portion {
  const [named, gone] = [nodes?.nodes ?? [], nodes?.gone ?? []];
  if (nodes !== undefined && named.length + gone.length > 0) {
    if (events !== undefined && events.events.length > 0) return { nodes, events: undefined };
    const half = Math.floor((named.length + gone.length) / 2);
    const kept = { nodes: named.slice(0, half), gone: gone.slice(0, Math.max(0, half - named.length)) };
    return { nodes: { ...kept, isAll: named.length + gone.length === 1 && nodes.isAll }, events };
  }
  return { nodes, events: events && firstHalf(events) };
}

function firstHalf(batch: EventBatch): EventBatch {
  const events = batch.events.slice(0, Math.floor(batch.events.length / 2));
  const last = events.at(-1);
  // A single one that is left out is passed over.
  return last === undefined ? { ...batch, events } : { ...batch, events, upTo: { cursor: last.cursor, at: last.at }, isAll: false };
}
