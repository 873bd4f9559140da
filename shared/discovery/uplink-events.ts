import * as z from 'zod';
import type { Client } from '../client.ts';
import type { EventRecord } from '../contract/event.ts';
import { fromTimestamp } from '../contract/ids.ts';
import { type UplinkEvent, UplinkEventType } from '../contract/uplink.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import type { DiscoveryDeps } from './types.ts';

/** Events of the own log that the cloud has not taken yet. */
export interface EventBatch {
  readonly events: readonly UplinkEvent[];
  /** How many had gone from the log before they could be read; at most. */
  readonly missed: number;
  /** Up to where the log was read for it. */
  readonly upTo: Position;
  /** False when more are there. */
  readonly isAll: boolean;
}

export interface UplinkEvents {
  /** What comes next, as far as it fits into about `bytes`; one event at least, if there is one. */
  next(bytes: number): Promise<EventBatch>;
  /** All of the batch was taken, or never will be. */
  settle(batch: EventBatch): Promise<void>;
}

/** A place in the log: the last event that was read there. Its time tells whether the log is still the same one. */
const Position = z.object({ cursor: z.string().regex(/^\d{1,15}$/), at: z.string() });
type Position = z.infer<typeof Position>;

const UPLINK_FILE = 'uplink.json';
const UplinkFile = Position.extend({ cloud_url: z.string(), site: z.string() });

const BEGINNING: Position = { cursor: '0', at: '' };
const PAGE = 200;

/**
 * The own event log from where the cloud `cloud_url` has taken it, which is kept on disk: an uplink resumes there after an outage or a
 * restart. A log that was made anew is told from its beginning, another cloud too.
 */
export async function openUplinkEvents(deps: DiscoveryDeps, own: Client, cloud_url: string): Promise<UplinkEvents> {
  const kept = await readJsonFile(deps, UPLINK_FILE, UplinkFile);
  const { site } = deps.config;
  const isTheSame = kept?.cloud_url === cloud_url && kept.site === site;
  let position: Position = isTheSame ? { cursor: kept.cursor, at: kept.at } : BEGINNING;
  return {
    async next(bytes) {
      const read = await readOn(own, site, position);
      const now = deps.clock.now();
      const events: UplinkEvent[] = [];
      let upTo = read.from;
      let used = 0;
      for (const record of read.records) {
        if (UplinkEventType.safeParse(record.type).success) {
          const event = toUplinkEvent(record, now);
          used += JSON.stringify(event).length;
          if (events.length > 0 && used > bytes) return { events, missed: read.missed, upTo, isAll: false };
          events.push(event);
        }
        upTo = { cursor: record.cursor, at: record.at };
      }
      return { events, missed: read.missed, upTo, isAll: read.isAll };
    },
    async settle({ upTo }) {
      if (upTo.cursor === position.cursor && upTo.at === position.at) return;
      position = upTo;
      await writeJsonFile(deps, UPLINK_FILE, { cloud_url, site, ...position });
    },
  };
}

interface Read {
  readonly records: readonly EventRecord[];
  /** Where it really began. */
  readonly from: Position;
  readonly missed: number;
  readonly isAll: boolean;
}

/** Reads from the last known event on, and not from the one after it: so it shows whether that one is still there. */
async function readOn(own: Client, site: string, position: Position): Promise<Read> {
  const cursor = Number(position.cursor);
  const { events, next } = (await own.events({ after: String(Math.max(0, cursor - 1)), limit: PAGE, site })).body;
  const isAll = next === undefined;
  const [first, ...rest] = events;
  if (cursor === 0) return { records: events, from: position, missed: 0, isAll };
  if (first?.cursor === position.cursor && first.at === position.at) return { records: rest, from: position, missed: 0, isAll };
  if (first === undefined || first.cursor === position.cursor) return { ...(await readOn(own, site, BEGINNING)), from: BEGINNING };
  return { records: events, from: position, missed: Number(first.cursor) - cursor - 1, isAll };
}

function toUplinkEvent({ cursor, type, node_id, at, data }: EventRecord, now: number): UplinkEvent {
  const about = node_id === undefined ? {} : { node_id };
  return { cursor, type, ...about, at, age_ms: Math.max(0, Math.round(now - fromTimestamp(at))), data };
}
