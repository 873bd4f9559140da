import * as z from 'zod';
import type { EnvironmentComponentName } from '../contract/backlog.ts';
import type { Made } from '../contract/made.ts';
import { LifecycleRule } from '../contract/profile.ts';
import type { Log } from '../ports/log.ts';
import type { BackendName, Ownership, Renewal } from '../ports/ownership.ts';
import type { BrokerAction } from './broker-actions.ts';
import type { StorageAction } from './storage-actions.ts';
import type { VectorAction } from './vector-actions.ts';
import { describeError } from './wording.ts';

/** What an action that ended well leaves behind: things that it made, and things that are another way now. */
export interface Marks {
  readonly made?: readonly Made[];
  readonly changed?: readonly Renewal[];
}

/** Keeps what the reconciler made. */
export interface Maker {
  /** Who makes it, for backends that keep this with what is made. */
  readonly made_by: string;
  /** Resolves when it is kept. Never rejects: what can't be kept counts as foreign, and stays. */
  keep(backend: BackendName, marks: Marks): Promise<void>;
}

/** For one backend; a component that is given none records nothing. */
export type BackendMaker = Pick<Maker, 'made_by'> & { keep(marks: Marks): Promise<void> };

export interface MakerDeps {
  readonly ownership: Ownership;
  readonly made_by: string;
  readonly log: Log;
}

/** The mark of a fleet, that each of its nodes knows as its own. `key_id` is that of its documents. */
export function makerMark(key_id: string): string {
  return `bootplane:${key_id}`;
}

export function createMaker({ ownership, made_by, log }: MakerDeps): Maker {
  return {
    made_by,
    async keep(backend, { made = [], changed = [] }) {
      try {
        if (made.length > 0) await ownership.note(backend, made);
        if (changed.length > 0) await ownership.renew(backend, changed);
      } catch (error) {
        log.warn('what was made could not be recorded, so prune will take it for somebody else’s and leave it', {
          component: backend.component,
          error: describeError(error),
        });
      }
    },
  };
}

interface Backed {
  readonly backend: { readonly identity: string };
}

/** The maker for one backend. */
export function makerFor(maker: Maker | undefined, component: EnvironmentComponentName, { backend }: Backed): BackendMaker | undefined {
  if (maker === undefined) return undefined;
  return { made_by: maker.made_by, keep: (marks) => maker.keep({ component, identity: backend.identity }, marks) };
}

/** A bucket, rule or tag that was missing when the actual state was read. */
export function marksOfStorage(action: StorageAction): Marks {
  switch (action.kind) {
    case 'ensure-bucket':
      return { made: [{ kind: 'bucket', name: action.data.bucket }] };
    case 'add-lifecycle-rules':
      return { made: toRules(action.data) };
    case 'extend-lifecycle-rules':
      return { changed: renewRules(action) };
    case 'update-tags':
      return marksOfTags(action);
    default:
      return {};
  }
}

function toRules({ bucket, rules }: Extract<StorageAction, { kind: 'add-lifecycle-rules' }>['data']): Made[] {
  return rules.map((rule) => ({ kind: 'lifecycle_rule', bucket, rule }));
}

/** `before` has what each of them was. */
function renewRules({ data: { bucket, rules }, before }: Extract<StorageAction, { kind: 'extend-lifecycle-rules' }>): Renewal[] {
  const all = LifecycleRule.array().safeParse(before).data ?? [];
  return rules.flatMap((rule) => {
    const was = all.find(({ id }) => id === rule.id);
    const toMade = (one: LifecycleRule): Made => ({ kind: 'lifecycle_rule', bucket, rule: one });
    return was === undefined ? [] : [{ from: toMade(was), to: toMade(rule) }];
  });
}

const Tags = z.record(z.string(), z.string());

/** `before` has those of the tags that were there, with another value. */
function marksOfTags({ data: { bucket, tags }, before }: Extract<StorageAction, { kind: 'update-tags' }>): Marks {
  const was = Tags.safeParse(before).data;
  if (was === undefined) return {};
  const toMade = (name: string, value: string): Made => ({ kind: 'tag', bucket, name, value });
  const [made, changed]: [Made[], Renewal[]] = [[], []];
  for (const [name, value] of Object.entries(tags)) {
    const old = was[name];
    if (old === undefined) made.push(toMade(name, value));
    else changed.push({ from: toMade(name, old), to: toMade(name, value) });
  }
  return { made, changed };
}

/** An exchange, queue or binding that was missing. What could not be read may have been there, and is not claimed. */
export function marksOfBroker(action: BrokerAction): Marks {
  if (action.probe !== undefined) return {};
  switch (action.kind) {
    case 'ensure-exchange':
      return { made: [{ kind: 'exchange', exchange: action.data.exchange }] };
    case 'ensure-queue':
      return { made: [{ kind: 'queue', queue: action.data.queue }] };
    case 'ensure-binding':
      return { made: [{ kind: 'binding', binding: action.data.binding }] };
    default:
      return {};
  }
}

/** A class that was missing. Properties can't be taken out of a class, so nobody needs to know who added one. */
export function marksOfVector(action: VectorAction): Marks {
  return action.kind === 'ensure-class' ? { made: [{ kind: 'class', name: action.data.spec.name }] } : {};
}
