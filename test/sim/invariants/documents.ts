import type { Invariant } from './invariant.ts';

/** On one disk the applied generation of each document only grows, over restarts too. */
export const appliesUpwards: Invariant = ({ broken }) => {
  const applied = new WeakMap<object, { plan: number; profile: number }>();
  return {
    onState({ name, disk }, { generations }) {
      const before = applied.get(disk) ?? { plan: 0, profile: 0 };
      const now = { plan: generations.plan ?? 0, profile: generations.profile ?? 0 };
      for (const kind of ['plan', 'profile'] as const) {
        // A node that has just booted has not read its cache yet.
        if (generations[kind] !== undefined && now[kind] < before[kind])
          broken('only upwards', `${name} had ${kind} ${before[kind]} and now applies ${now[kind]}`);
      }
      applied.set(disk, { plan: Math.max(before.plan, now.plan), profile: Math.max(before.profile, now.profile) });
    },
  };
};

/** What shortens the life of data counts as well. */
export const nothingDestroyed: Invariant = ({ broken }) => {
  const versioned = new WeakMap<object, Set<string>>();
  const rules = new WeakMap<object, Map<string, number>>();
  return {
    onPort({ name, disk }, { port, method, args }) {
      const [subject, change] = args;
      if (/delete|drop|remove|purge/i.test(method))
        broken('nothing destroyed', `${name} calls ${method} of its ${port}: ${JSON.stringify(args)}`);
      if (method === 'ensureVersioning') {
        const known = versioned.get(disk) ?? new Set();
        if (change === false && known.has(String(subject))) broken('nothing destroyed', `${name} suspends the versioning of ${subject}`);
        if (change === true) versioned.set(disk, known.add(String(subject)));
      }
      if (method === 'ensureLifecycle') {
        const known = rules.get(disk) ?? new Map<string, number>();
        const wanted = new Map(
          (change as { id: string; expire_days: number }[]).map(({ id, expire_days }) => [`${subject} ${id}`, expire_days]),
        );
        for (const [rule, days] of wanted) {
          const before = known.get(rule);
          if (before !== undefined && days < before)
            broken('nothing destroyed', `${name} shortens rule ${rule} from ${before} to ${days} days`);
          known.set(rule, days);
        }
        rules.set(disk, known);
      }
    },
  };
};
