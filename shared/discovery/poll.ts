import type { Client } from '../client.ts';
import type { DesiredGenerations, DocumentKind } from '../contract/document.ts';
import type { NodePlan } from '../contract/plan.ts';
import { nameOf } from '../decide/emergency.ts';
import type { NodeContext } from './context.ts';
import type { Held, HeldPlan } from './documents.ts';
import { OutdatedError } from './failure.ts';
import { type Fetched, fetchDocument } from './fetch-document.ts';
import { reportsOf, sendHeartbeat } from './heartbeat.ts';
import { isOnLan } from './located.ts';
import { isLater, isOfClone, matches, takenUntold } from './select.ts';
import type { Exchange } from './sync-exchange.ts';

/** A version may be published between two calls; then the plan is asked for again, this often at most. */
const MAX_ASKS = 3;
/** Services may come up one after the other while the plan is asked for; this often at most that is told before its answer counts. */
const MAX_HEARTBEATS = 16;

/**
 * One look at what is desired here: the plan answer, the Cluster Plan that it was made from, and the
 * profile. A control plane that has none, or an older one than this node, is offered what this node has, and asked
 * again. What can't be used changes nothing and is told once. Rejects when a call fails.
 */
export async function poll(node: NodeContext, client: Client, exchange: Exchange): Promise<DesiredGenerations> {
  const began = node.deps.clock.monotonic();
  await exchange.prepare();
  let desired: DesiredGenerations = {};
  let isSettled = false;
  for (let ask = 1; !isSettled && ask <= MAX_ASKS; ask += 1) {
    const { desired: current, ...asked } = await askForPlan(node, client);
    const { answer } = asked;
    desired = current;
    if (isOfAnother(node, answer)) throw new OutdatedError(`its plan answers are of ${answer.leader_node_id}, who leads by now`);
    if (isOutdated(node, answer)) {
      if (ask < MAX_ASKS) continue;
      throw new OutdatedError(`its plan answers are of epoch ${answer.epoch}, though it is known to be past that`);
    }
    await follow(node, answer);
    isSettled = await settlePlan(node, { client, exchange, isLast: ask === MAX_ASKS }, asked);
  }
  for (let ask = 1, isDone = false; !isDone && ask <= MAX_ASKS; ask += 1) {
    isDone = await settleProfile(node, { client, exchange, isLast: ask === MAX_ASKS });
  }
  node.steps.step('plan', describePlan(node), node.deps.clock.monotonic() - began);
  return desired;
}

function describePlan({ standing, documents }: NodeContext): string {
  const { plan, profile } = documents;
  const services =
    plan === undefined
      ? 'no Cluster Plan'
      : `plan ${labelOf(plan.held)} (here: ${plan.answer.services.map(({ name }) => name).join(', ') || 'nothing'})`;
  return `${standing.role()}, ${services}, ${profile === undefined ? 'no Environment Profile' : `profile ${labelOf(profile)}`}`;
}

function labelOf({ document: { meta } }: Held<DocumentKind>): string {
  return `${meta.generation}${meta.emergency === undefined ? '' : `, emergency version ${meta.emergency.n}`}`;
}

/** It was under way while a look or another answer told of a later epoch. Only the cloud, which may be restored from a backup, leads back. */
function isOutdated({ standing: { located, token } }: NodeContext, { epoch }: NodePlan): boolean {
  if (located?.source === 'cloud') return false;
  return epoch < Math.max(located?.leader?.epoch ?? 0, token?.epoch ?? 0);
}

/**
 * A leader that stepped down passes calls on to the one that it follows, who has not been told yet what runs here and would
 * place it elsewhere: that one is looked for and registered with first. A cloud knows its nodes whoever leads them.
 */
function isOfAnother({ standing: { located } }: NodeContext, { leader_node_id }: NodePlan): boolean {
  return located?.leader !== undefined && isOnLan(located) && located.leader.node_id !== leader_node_id;
}

interface Asked extends Required<Pick<HeldPlan, 'answer' | 'told'>> {
  /** A clone's reports count there, so nothing that is told of this node changes the answer. */
  readonly isOfClone: boolean;
}

/**
 * The answer of a control plane that has been told what runs here: one that takes away what it could not know of is asked for again. Where a
 * clone has taken this node's place there, nothing was told of what runs here, and it takes nothing of that away.
 */
async function askForPlan(node: NodeContext, client: Client): Promise<Asked & { readonly desired: DesiredGenerations }> {
  const { node_id, instance_id } = node.deps.identity;
  for (let heartbeats = 0; ; heartbeats += 1) {
    const { told } = node.standing;
    const { body: answer, desired } = await client.plan(node_id);
    const isClones = isOfClone(answer, instance_id);
    const asked = { answer, told: isClones ? [] : told, isOfClone: isClones };
    const isOfNobody = isOfAnother(node, answer) || isOutdated(node, answer);
    if (isOfNobody || heartbeats === MAX_HEARTBEATS || !takesUntold(node, asked)) return { ...asked, desired };
    await sendHeartbeat(node, client);
  }
}

function takesUntold({ deps }: NodeContext, { answer, told, isOfClone }: Asked): boolean {
  return !isOfClone && takenUntold(answer, told, reportsOf(deps.services)).length > 0;
}

async function follow({ standing, epochs }: NodeContext, answer: NodePlan): Promise<void> {
  standing.answer = answer;
  standing.token = { epoch: answer.epoch, node_id: answer.leader_node_id };
  await epochs.note(answer.epoch);
}

interface Ask {
  readonly client: Client;
  readonly exchange: Exchange;
  readonly isLast: boolean;
}

/** False when another plan is published there by now, so that the answer has to be asked for again. */
async function settlePlan(node: NodeContext, ask: Ask, asked: Asked): Promise<boolean> {
  const { client, exchange, isLast } = ask;
  const { documents, deps } = node;
  const { answer } = asked;
  const held = documents.plan?.held;
  if (answer.generation === undefined) {
    if (held !== undefined && !isLast && (await exchange.offer('plan'))) return false;
    return refuseMissingPlan(node, answer, held);
  }
  if (held !== undefined && matches(answer, held)) return takePlan(node, ask, { held, ...asked });
  const fetched = await fetchDocument(deps, { client, kind: 'plan', held });
  if (fetched.outcome === 'accepted') {
    if (matches(answer, fetched.held)) return takePlan(node, ask, { held: fetched.held, ...asked });
    if (!isLast && isLater(fetched.held, answer)) return false;
  }
  if (fetched.outcome === 'behind' && !isLast && (await exchange.offer('plan'))) return false;
  const otherwise = `${nameOfAnswer(answer)} was named, but another one is published`;
  return refuse(node, 'plan', whyNotTaken(fetched, otherwise), held, fetched);
}

/**
 * What came up while the plan was fetched and written down is spared, and told: the next answer that is taken is of somebody who knows. False: that
 * one is asked for at once.
 */
async function takePlan(node: NodeContext, { client, isLast }: Ask, plan: Asked & Pick<HeldPlan, 'held'>): Promise<boolean> {
  await node.documents.keepPlan(plan);
  node.supersedePlan();
  node.refusals.clear('plan');
  if (isLast || !takesUntold(node, plan)) return true;
  await sendHeartbeat(node, client);
  return false;
}

function refuseMissingPlan(node: NodeContext, answer: NodePlan, held: Held<'plan'> | undefined): true {
  const [first] = answer.services;
  if (first !== undefined) return refuse(node, 'plan', `a Supervisor named a service that no verified plan holds: ${first.name}`, held);
  if (held !== undefined) return refuse(node, 'plan', 'the Supervisor has none', held);
  node.refusals.clear('plan');
  return true;
}

/** False when another profile is published there by now. */
async function settleProfile(node: NodeContext, { client, exchange, isLast }: Ask): Promise<boolean> {
  const held = node.documents.profile;
  const fetched = await fetchDocument(node.deps, { client, kind: 'profile', held });
  if (fetched.outcome === 'accepted') await node.documents.keepProfile(fetched.held);
  const isFine = fetched.outcome === 'accepted' || fetched.outcome === 'current' || (fetched.outcome === 'missing' && held === undefined);
  if (isFine) {
    node.refusals.clear('profile');
    return true;
  }
  const isBehind = fetched.outcome === 'behind' || fetched.outcome === 'missing';
  if (isBehind && !isLast && (await exchange.offer('profile'))) return false;
  return refuse(node, 'profile', whyNotTaken(fetched, 'the Supervisor has none'), held, fetched);
}

function whyNotTaken(fetched: Fetched<DocumentKind>, otherwise: string): string {
  if (fetched.outcome === 'refused' || fetched.outcome === 'behind') return fetched.reason;
  return fetched.outcome === 'missing' ? 'the Supervisor has none' : otherwise;
}

function nameOfAnswer({ generation = 0, emergency }: NodePlan): string {
  return emergency === undefined ? `generation ${generation}` : `emergency version ${emergency} on generation ${generation}`;
}

const NAMES = { plan: 'Cluster Plan', profile: 'Environment Profile' } as const;

function refuse(
  node: NodeContext,
  kind: DocumentKind,
  why: string,
  held: Held<DocumentKind> | undefined,
  fetched?: Fetched<DocumentKind>,
): true {
  const kept = held === undefined ? 'nothing is changed' : `${nameOf(held.document.meta)} stays, nothing is changed`;
  const version = fetched?.outcome === 'behind' ? { generation: fetched.generation, hash: fetched.hash } : {};
  node.refusals.refuse({
    topic: kind,
    component: kind === 'plan' ? 'services' : 'storage',
    action: `refuse-${kind}`,
    message: `the ${NAMES[kind]} was not taken: ${why}; ${kept}`,
    ...version,
  });
  return true;
}
