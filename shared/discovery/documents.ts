import * as z from 'zod';
import { type DocumentKind, DocumentMeta, toWire } from '../contract/document.ts';
import { NodePlan } from '../contract/plan.ts';
import { storedVerifier } from '../contract/stored-verifier.ts';
import { nameOf, whyNotOfSite } from '../decide/emergency.ts';
import { type FileDeps, readJsonFile, setAside, writeJsonFile } from './json-file.ts';
import type { DiscoveryDeps } from './types.ts';
import { type Refused, type Verdict, type Verified, verifyWire } from './verify.ts';

/** The Cluster Plan with the answer that was made from it; never one without the other. */
export interface HeldPlan {
  readonly held: Held<'plan'>;
  readonly answer: NodePlan;
  /** What whoever answered had been told to run here before it was asked, by name. Undefined where an older version has written it. */
  readonly told?: readonly string[];
}

/** A verified document with the tag that it came with. */
export interface Held<K extends DocumentKind> extends Verified<K> {
  readonly etag?: string;
}

/**
 * The last good desired documents of this node. One that is kept is shown when it is on the disk: what was applied must
 * not be older after a power cut. Where the disk refuses it (it is full), it is shown all the same.
 */
export interface Documents {
  readonly plan: HeldPlan | undefined;
  readonly profile: Held<'profile'> | undefined;
  /** Of cached documents that are whole and signed with another fleet key, in words: they are not used, and stay until others replace them. */
  readonly unverified: readonly string[];
  keepPlan(plan: HeldPlan): Promise<void>;
  keepProfile(held: Held<'profile'>): Promise<void>;
}

/** One file holds the plan and its answer, so that a crash between two writes can't leave them apart. */
const FILES = { plan: 'plan.json', profile: 'profile.json' } as const;

const Kept = z.object({ etag: z.string().optional(), document: z.record(z.string(), z.unknown()) });
const KeptPlan = Kept.extend({ answer: NodePlan, told: z.array(z.string()).optional() });

type OpenDeps = FileDeps & Pick<DiscoveryDeps, 'config' | 'fleetKeys'>;

/**
 * Reads what is cached and verifies it again. What does not verify is set aside and stops nothing. What is signed with
 * another fleet key stays where it is until another document takes its place: with the right key it is good again.
 */
export async function openDocuments(deps: OpenDeps): Promise<Documents> {
  const unverified = new Map<DocumentKind, string>();
  let [plan, profile] = await Promise.all([readPlan(deps, unverified), readProfile(deps, unverified)]);
  const makeRoom = async (kind: DocumentKind) => {
    if (unverified.delete(kind)) await setAside(deps, FILES[kind], SIGNED_OTHERWISE, 'other-key');
  };
  return {
    get plan() {
      return plan;
    },
    get profile() {
      return profile;
    },
    get unverified() {
      return [...unverified.values()];
    },
    async keepPlan(next) {
      const { held, answer, told } = next;
      if (plan?.held !== held || JSON.stringify(plan.answer) !== JSON.stringify(answer)) {
        await makeRoom('plan');
        await writeJsonFile(deps, FILES.plan, { ...toKept(held), answer, told });
      }
      plan = next;
    },
    async keepProfile(held) {
      await makeRoom('profile');
      await writeJsonFile(deps, FILES.profile, toKept(held));
      profile = held;
    },
  };
}

function toKept({ etag, document }: Held<DocumentKind>): z.input<typeof Kept> {
  return { etag, document: toWire(document) };
}

type Unverified = Map<DocumentKind, string>;

async function readPlan(deps: OpenDeps, unverified: Unverified): Promise<HeldPlan | undefined> {
  const kept = await readJsonFile(deps, FILES.plan, KeptPlan);
  const held = kept && (await verifyKept(deps, 'plan', kept, unverified));
  return kept && held && { held, answer: kept.answer, ...(kept.told === undefined ? {} : { told: kept.told }) };
}

async function readProfile(deps: OpenDeps, unverified: Unverified): Promise<Documents['profile']> {
  const kept = await readJsonFile(deps, FILES.profile, Kept);
  return kept && verifyKept(deps, 'profile', kept, unverified);
}

async function verifyKept<K extends DocumentKind>(
  deps: OpenDeps,
  kind: K,
  { etag, document: wire }: z.infer<typeof Kept>,
  unverified: Unverified,
): Promise<Held<K> | undefined> {
  const verdict = await judge(deps, kind, wire);
  if ('verified' in verdict) return { ...verdict.verified, ...(etag === undefined ? {} : { etag }) };
  if (verdict.isOfOtherKey === true) {
    const message = `${nameOf(DocumentMeta.parse(wire))} in ${FILES[kind]} is not used: ${SIGNED_OTHERWISE}. ${OTHER_KEY_ADVICE}`;
    unverified.set(kind, message);
    deps.log.warn(message, { file: FILES[kind] });
  } else {
    await setAside(deps, FILES[kind], verdict.refused);
  }
  return undefined;
}

/** By the keys of before too: it was believed when it was taken, and a new fleet key does not change that. */
async function judge<K extends DocumentKind>(
  { config, fleetKeys }: OpenDeps,
  kind: K,
  wire: Readonly<Record<string, unknown>>,
): Promise<Verdict<K>> {
  const verifier = await storedVerifier(fleetKeys, String(wire.key_id));
  const verdict = await verifyWire(kind, config.fleet, verifier, wire);
  if ('refused' in verdict) return verdict;
  const refused = whyNotOfSite(verdict.verified.document.meta, config.site);
  return refused === undefined ? verdict : ({ refused } satisfies Refused);
}

const SIGNED_OTHERWISE = 'it is signed with another fleet key';
/** The node itself notes the keys that it was started with, so mostly nobody has to do this. */
const OTHER_KEY_ADVICE =
  'Was the fleet key replaced? Stop the node, and tell it that its key is a new one of the same fleet: `bootplane join - --same-fleet < KEYFILE`. Is it the wrong key? Start it with the right one. What runs goes on meanwhile';
