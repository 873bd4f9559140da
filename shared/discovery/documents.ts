import * as z from 'zod';
import { type DocumentKind, toWire } from '../contract/document.ts';
import { NodePlan } from '../contract/plan.ts';
import { whyNotOfSite } from '../decide/emergency.ts';
import { type FileDeps, readJsonFile, setAside, writeJsonFile } from './json-file.ts';
import type { DiscoveryDeps } from './types.ts';
import { type Verified, verifyWire } from './verify.ts';

/** A verified document with the tag that it came with. */
export interface Held<K extends DocumentKind> extends Verified<K> {
  readonly etag?: string;
}

/**
 * The last good desired documents of this node. One that is kept is shown when it is on the disk: what was applied must
 * not be older after a power cut. Where the disk refuses it (it is full), it is shown all the same.
 */
export interface Documents {
  /** The Cluster Plan with the answer that was made from it; never one without the other. */
  readonly plan: { readonly held: Held<'plan'>; readonly answer: NodePlan } | undefined;
  readonly profile: Held<'profile'> | undefined;
  keepPlan(held: Held<'plan'>, answer: NodePlan): Promise<void>;
  keepProfile(held: Held<'profile'>): Promise<void>;
}

/** One file holds the plan and its answer, so that a crash between two writes can't leave them apart. */
const FILES = { plan: 'plan.json', profile: 'profile.json' } as const;

const Kept = z.object({ etag: z.string().optional(), document: z.record(z.string(), z.unknown()) });
const KeptPlan = Kept.extend({ answer: NodePlan });

type OpenDeps = FileDeps & Pick<DiscoveryDeps, 'config' | 'fleetKeys'>;

/** Reads what is cached and verifies it again. What does not verify is set aside and stops nothing. */
export async function openDocuments(deps: OpenDeps): Promise<Documents> {
  let [plan, profile] = await Promise.all([readPlan(deps), readProfile(deps)]);
  return {
    get plan() {
      return plan;
    },
    get profile() {
      return profile;
    },
    async keepPlan(held, answer) {
      if (plan?.held === held && JSON.stringify(plan.answer) === JSON.stringify(answer)) return;
      await writeJsonFile(deps, FILES.plan, { ...toKept(held), answer });
      plan = { held, answer };
    },
    async keepProfile(held) {
      await writeJsonFile(deps, FILES.profile, toKept(held));
      profile = held;
    },
  };
}

function toKept({ etag, document }: Held<DocumentKind>): z.input<typeof Kept> {
  return { etag, document: toWire(document) };
}

async function readPlan(deps: OpenDeps): Promise<Documents['plan']> {
  const kept = await readJsonFile(deps, FILES.plan, KeptPlan);
  const held = kept && (await verifyKept(deps, 'plan', kept));
  return kept && held && { held, answer: kept.answer };
}

async function readProfile(deps: OpenDeps): Promise<Documents['profile']> {
  const kept = await readJsonFile(deps, FILES.profile, Kept);
  return kept && verifyKept(deps, 'profile', kept);
}

async function verifyKept<K extends DocumentKind>(deps: OpenDeps, kind: K, kept: z.infer<typeof Kept>): Promise<Held<K> | undefined> {
  const { etag, document: wire } = kept;
  const verdict = await verifyWire(kind, deps.config.fleet, deps.fleetKeys.documents, wire);
  const refused = 'refused' in verdict ? verdict.refused : whyNotOfSite(verdict.verified.document.meta, deps.config.site);
  if ('verified' in verdict && refused === undefined) return { ...verdict.verified, ...(etag === undefined ? {} : { etag }) };
  await setAside(deps, FILES[kind], refused ?? 'it can not be used');
  return undefined;
}
