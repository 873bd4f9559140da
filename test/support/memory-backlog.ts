import { toTimestamp } from '../../shared/contract/ids.ts';
import type { Backlog, Entry, NewEntry, Target, Thing } from '../../shared/ports/backlog.ts';
import type { Clock } from '../../shared/ports/clock.ts';

/** The backlog in memory: one that loses all when the process ends, and is no adapter. */
export function createMemoryBacklog(clock: Pick<Clock, 'now'> = { now: () => Date.UTC(2026, 0, 1) }): Backlog {
  const complete = new Set<string>();
  let numbers = 0;
  let entries: Entry[] = [];
  const of = (target: Target, state?: Entry['state']) =>
    entries.filter((entry) => isFor(entry, target) && (state === undefined || entry.state === state));
  const put = (entry: NewEntry, adopted: boolean) => {
    numbers += 1;
    const about = { ...entry, number: numbers, state: 'waiting', at: toTimestamp(clock.now()) } as const;
    entries.push(adopted ? { ...about, adopted } : about);
  };
  return {
    async add(added, { if_unknown = false } = {}) {
      for (const entry of added) {
        if (if_unknown && entries.some((one) => one.component === entry.component && isThing(one, entry) && !isNews(one, entry))) continue;
        entries = entries.filter((one) => !(isFor(one, entry) && isThing(one, entry)));
        put(entry, if_unknown);
      }
    },
    async isComplete({ component, identity }, place) {
      return complete.has(JSON.stringify([component, identity, place]));
    },
    async complete({ component, identity }, place) {
      complete.add(JSON.stringify([component, identity, place]));
    },
    async waiting(target, things) {
      return among(of(target, 'waiting'), things);
    },
    async list(target, place, { prefix = '', after = '', limit }) {
      const all = of(target, 'waiting').filter((entry) => entry.place === place && entry.key.startsWith(prefix));
      const behind = all.filter(({ key }) => byBytes(key, after) > 0);
      return behind.sort((one, other) => byBytes(one.key, other.key)).slice(0, limit);
    },
    async next(target, limit, after = 0) {
      return of(target, 'waiting')
        .filter(({ number }) => number > after)
        .slice(0, limit);
    },
    async settle(target, ended) {
      const ends = new Map(ended.map((end) => [end.number, end]));
      entries = entries.map((entry) => {
        const end = isFor(entry, target) ? ends.get(entry.number) : undefined;
        if (end === undefined) return entry;
        const { detail: _, ...rest } = entry;
        return { ...rest, ...end, at: toTimestamp(clock.now()) };
      });
    },
    async counts(target) {
      const count = (state: Entry['state']) => of(target, state).length;
      return { waiting: count('waiting'), forwarded: count('forwarded'), conflicts: count('conflict') };
    },
    async conflicts(target, limit, after = 0) {
      return of(target, 'conflict')
        .filter(({ number }) => number > after)
        .slice(0, limit);
    },
    async conflicting(target, things) {
      return among(of(target, 'conflict'), things);
    },
    async elsewhere({ component, identity }) {
      const others = entries.filter((one) => one.component === component && one.identity !== identity && one.state === 'waiting');
      const groups = Map.groupBy(others, (one) => one.identity);
      return [...groups]
        .map(([name, some]) => ({ identity: name, waiting: some.length }))
        .sort((a, b) => (a.identity < b.identity ? -1 : 1));
    },
    async readdress(from, to) {
      if (from.identity === to.identity) return 0;
      const open = of(from).filter(({ state }) => state !== 'forwarded');
      const stays = of(to).filter(({ state }) => state !== 'forwarded');
      const moving = open.filter((entry) => !stays.some((one) => isThing(one, entry)));
      entries = entries.filter((one) => !open.includes(one) && !(isFor(one, to) && moving.some((entry) => isThing(one, entry))));
      for (const { place, key, hash, size, deleted } of moving)
        put({ ...to, place, key, hash, size, ...(deleted === undefined ? {} : { deleted }) }, true);
      return moving.length;
    },
    async close() {},
  };
}

function isFor(entry: Target, { component, identity }: Target): boolean {
  return entry.component === component && entry.identity === identity;
}

function isThing(entry: Thing, { place, key }: Thing): boolean {
  return entry.place === place && entry.key === key;
}

function among(entries: readonly Entry[], things: readonly Thing[]): Entry[] {
  return things.flatMap((thing) => entries.find((entry) => isThing(entry, thing)) ?? []);
}

function isNews(known: Entry, { hash }: NewEntry): boolean {
  return known.state === 'forwarded' && known.hash !== hash;
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
