import type { InvariantName } from '../invariants/invariant.ts';

/** One place in the code, and what stands there instead. */
export interface Edit {
  /** From the root of the project. */
  readonly file: string;
  /** Stands there once; when the code changes, so must this. */
  readonly from: string;
  readonly to: string;
}

/** A way to break the code that one invariant is there to catch. */
export interface Mutation extends Edit {
  readonly name: string;
  readonly breaks: InvariantName;
  /** Where two places guard the same, both must go. */
  readonly also?: Edit;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'a lease counts from when its answer came',
    breaks: 'one confirmed leader',
    file: 'shared/discovery/lease.ts',
    from: 'held: { sent_at_ms, expires_in_ms: body.expires_in_ms }',
    to: 'held: { sent_at_ms: clock.monotonic(), expires_in_ms: body.expires_in_ms + 500 }',
  },
  {
    name: 'a node turns to any leader that proves itself',
    breaks: 'only upwards',
    file: 'shared/decide/leadership.ts',
    from: 'if (isEpochJump(known, leader.epoch)) return false;',
    to: 'if (!isEpochJump(known, leader.epoch)) return true;',
    // Else it does not even ask whoever advertises no higher epoch than that of its leader.
    also: {
      file: 'shared/discovery/advert-check.ts',
      from: 'if (followed === undefined) return true;',
      to: 'if (followed?.lease === undefined) return true;',
    },
  },
  {
    name: 'a node takes an older version of a document',
    breaks: 'only upwards',
    file: 'shared/decide/emergency.ts',
    from: 'if (held === undefined || next.generation > held.generation) return undefined;',
    to: 'if (held === undefined || next.generation !== held.generation) return undefined;',
  },
  {
    name: 'a Supervisor does not look at the token of a heartbeat',
    breaks: 'no stale write',
    file: 'shared/supervisor/store/nodes-sql.ts',
    from: 'and (leases.epoch > $',
    to: 'and (leases.epoch > 1000000 + $',
  },
  {
    name: 'versioning is suspended when a profile says so',
    breaks: 'nothing destroyed',
    file: 'shared/reconcile/storage.ts',
    from: "'update-tags': (storage,",
    to: "'suspend-versioning': (storage, { bucket }) => storage.ensureVersioning(bucket, false),\n  'update-tags': (storage,",
  },
  {
    name: 'a node runs another version than the plan has',
    breaks: 'only what was signed runs',
    file: 'shared/discovery/select.ts',
    from: 'services: { body: chosen.filter((service) => !misplaced.includes(service)), generation, hash }',
    to: "services: { body: chosen.filter((service) => !misplaced.includes(service)).map((service) => ({ ...service, version: service.version + 'x' })), generation, hash }",
  },
  {
    name: 'a node does not tell a new leader what runs on it',
    breaks: 'no healthy service stopped',
    file: 'shared/discovery/register.ts',
    from: '    services_running,',
    to: '    services_running: [],',
  },
  {
    name: 'what runs already is started once more',
    breaks: 'never two copies on one node',
    file: 'shared/reconcile/services/manager.ts',
    from: 'strays: running.filter(({ name, ref }) => this.#units.get(name)?.owns(ref) !== true)',
    to: 'strays: running.filter(() => false)',
  },
  {
    name: 'a challenge carries the credential',
    breaks: 'credentials only to the proved',
    file: 'shared/discovery/prove.ts',
    from: 'const answer = await ask(createClient({ url: origin, fetch }),',
    to: 'const answer = await ask(createClient({ url: origin, fetch, credential: await deps.fleetKeys.nodeCredential(deps.config.site) }),',
  },
  {
    name: 'any proof is believed',
    breaks: 'credentials only to the proved',
    file: 'shared/discovery/prove.ts',
    from: 'if (!(await fleetKeys.verifyHint(signed, proof))) {',
    to: "if (proof === 'no proof at all' && !(await fleetKeys.verifyHint(signed, proof))) {",
  },
  {
    name: 'one who does not answer a challenge ends the search',
    breaks: 'nothing crashes a node',
    file: 'shared/discovery/prove.ts',
    from: 'return explain(error);',
    to: 'throw error;',
  },
  {
    name: 'a leader never yields to another',
    breaks: 'together again',
    file: 'shared/discovery/meet.ts',
    from: 'if (best !== undefined && compareLeaders(best.leads, own) < 0) return yieldTo(context, best, own);',
    // Nor does it raise its epoch: two that both did would go on for ever, in no time at all.
    to: "if (best !== undefined && compareLeaders(best.leads, own) < 0) return { outcome: 'rejected', detail: 'it never yields' };",
  },
];
