import { isIPv6 } from 'node:net';
import { type Answer, encode, type SrvAnswer, type StringAnswer, type TxtAnswer } from 'dns-packet';
import type { Advert } from '../../../shared/ports/lan.ts';
import { type Names, SERVICE, SERVICE_TYPES, sameName } from './names.ts';
import { toTxt } from './txt.ts';

/** Seconds (RFC 6762, section 10): records with a host name in them, and all others. */
const HOST_TTL = 120;
const OTHER_TTL = 4500;
/** The most that a legacy resolver is told (RFC 6762, section 6.7). */
const LEGACY_TTL = 10;

export type Kind = 'PTR' | 'SRV' | 'TXT' | 'A' | 'AAAA';
export type OwnRecord = (StringAnswer | SrvAnswer | TxtAnswer) & { readonly ttl: number; readonly flush: boolean };

/** What one interface says: the shared records (others may have some of the same name), and the unique ones, which are ours alone. */
export interface OwnRecords {
  readonly names: Names;
  readonly shared: readonly OwnRecord[];
  readonly unique: readonly OwnRecord[];
}

/** The records of an advert on an interface with these addresses. Throws `LanError` for an advert that does not fit. */
export function recordsOf(names: Names, advert: Advert, addresses: readonly string[]): OwnRecords {
  const { instance, host } = names;
  return {
    names,
    shared: [
      { name: SERVICE, type: 'PTR', ttl: OTHER_TTL, flush: false, data: instance },
      { name: SERVICE_TYPES, type: 'PTR', ttl: OTHER_TTL, flush: false, data: SERVICE },
    ],
    unique: [
      { name: instance, type: 'SRV', ttl: HOST_TTL, flush: true, data: { priority: 0, weight: 0, port: portOf(advert.url), target: host } },
      { name: instance, type: 'TXT', ttl: OTHER_TTL, flush: true, data: toTxt(advert) },
      ...addresses.map(
        (data): OwnRecord => ({
          name: host,
          type: isIPv6(data) ? 'AAAA' : 'A',
          ttl: HOST_TTL,
          flush: true,
          data: data.split('%')[0] ?? data,
        }),
      ),
    ],
  };
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  if (port !== '') return Number(port);
  return protocol === 'https:' ? 443 : 80;
}

/** What somebody who got these will want to know next (RFC 6763, section 12). */
export function alsoWanted(answers: readonly OwnRecord[], { unique }: OwnRecords): OwnRecord[] {
  const types = new Set(answers.map(({ type }) => type));
  const service = answers.some(({ type, name }) => type === 'PTR' && sameName(name, SERVICE));
  const wanted = unique.filter(({ type }) => {
    if (type === 'SRV' || type === 'TXT') return service;
    return service || types.has('SRV') || types.has(type === 'A' ? 'AAAA' : 'A');
  });
  return wanted.filter((record) => !answers.includes(record));
}

/** A copy to send, since encoding changes what it is given. */
export function toSend(record: OwnRecord, ttl: number = record.ttl): Answer {
  if (record.type === 'TXT') return { ...record, ttl, data: [...(record.data as Buffer[])] };
  return { ...record, ttl };
}

export function toLegacy(record: OwnRecord): Answer {
  return { ...toSend(record, Math.min(record.ttl, LEGACY_TTL)), flush: false } as Answer;
}

/** The data of a record as bytes on the wire, uncompressed, as they are compared. Undefined for what can't be written. */
export function rdata(record: Answer): Buffer | undefined {
  // 12 bytes of header, one of the root's name, ten of type, class, time to live and length.
  const BEFORE = 23;
  if (record.type === 'OPT') return undefined;
  try {
    const copy = { ...record, name: '.', ...(Array.isArray(record.data) ? { data: [...record.data] } : {}) } as Answer;
    return encode({ type: 'response', answers: [copy] }).subarray(BEFORE);
  } catch {
    return undefined;
  }
}

/** True when the two say the same: name, type and data. */
export function sameRecord(a: Answer, b: Answer): boolean {
  if (a.type !== b.type || !sameName(a.name, b.name) || a.type === 'OPT' || b.type === 'OPT') return false;
  if (a.type === 'PTR' && b.type === 'PTR') return sameName(String(a.data), String(b.data));
  const [left, right] = [rdata(a), rdata(b)];
  return left !== undefined && right !== undefined && left.equals(right);
}
