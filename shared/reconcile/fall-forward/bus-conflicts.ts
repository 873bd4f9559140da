import type { BacklogConflict, ConflictDecision, ConflictKind } from '../../contract/backlog-conflict.ts';
import type { Backlog, Entry, Target } from '../../ports/backlog.ts';
import { BusError, type Delivery, type EmbeddedBus, type EventBus, type OutgoingMessage } from '../../ports/event-bus.ts';
import { Slots } from '../slots.ts';
import { messageOf } from '../wording.ts';
import { declareIn, toDeclaration } from './bus-declarations.ts';
import type { Environment } from './bus-environment.ts';
import { isHeld, outgoing, REASON, REFUSED, readmitted } from './bus-message.ts';
import type { Passages } from './bus-passage.ts';
import { CHANGED, type ConflictDesk, createEntryDesk, type Decided, GIVEN_UP, refuse, TAKEN_OVER, tagOf } from './conflict-desk.ts';

export interface BusConflictParts {
  readonly external: EventBus;
  readonly fallback: EmbeddedBus;
  readonly backlog: Backlog;
  readonly target: Target;
  /** For people, as `broker (rabbitmq at amqp://192.0.2.9:5672)`. */
  readonly name: string;
  /** A call to the external. Rejects at once with `backend_away` while that is away. */
  ask<T>(work: () => Promise<T>): Promise<T>;
  readonly passages: Passages;
  readonly environment: Pick<Environment, 'queue'>;
  /** A conflict has ended: it is counted anew. */
  ended(): Promise<void>;
}

/** Refused messages that are looked through, the oldest first. */
const MOST = 1000;
/** Bodies are in memory while they are looked at, so not all at once. */
const BATCH = 100;
/** Longer than it takes to look at all of them; what a crash leaves handed out is in its queue again by then. */
const LEASE_MS = 60_000;
const MESSAGE_ID = 'broker-m';

/**
 * What the broker refused for good: declarations, then messages. Nothing at the broker is replaced by either: `ours` is
 * tried once more. A message that is given up is removed: it has no other place than the queue of the refused ones.
 */
export function busConflicts(parts: BusConflictParts): ConflictDesk {
  const declarations = declarationDesk(parts);
  // Whoever looks through the queue has all of it handed out.
  const turns = new Slots(1);
  const messages = messageDesk(parts);
  return {
    async list(limit, after) {
      const declared = after === undefined || !isMessage(after) ? await declarations.list(limit, after) : [];
      const rest = limit - declared.length;
      if (rest === 0) return declared;
      const refused = await turns.run(() => messages.list(rest, after !== undefined && isMessage(after) ? after : undefined));
      return [...declared, ...refused];
    },
    find: (id) => (isMessage(id) ? turns.run(() => messages.find(id)) : declarations.find(id)),
    resolve: (decision) => (isMessage(decision.id) ? turns.run(() => messages.resolve(decision)) : declarations.resolve(decision)),
  };
}

function isMessage(id: string): boolean {
  return id.startsWith(MESSAGE_ID);
}

const KINDS: Readonly<Record<string, ConflictKind>> = { exchange: 'exchange', queue: 'queue', binding: 'binding' };

function declarationDesk({ external, backlog, target, name, ask, ended }: BusConflictParts): ConflictDesk {
  const settle = async ({ number }: Entry, detail: string) => {
    await backlog.settle(target, [{ number, state: 'forwarded', detail }]);
    await ended();
  };
  return createEntryDesk({
    component: 'broker',
    conflicts: (limit, after) => backlog.conflicts(target, limit, after),
    async show({ place, number, size, hash }) {
      return { kind: KINDS[place] ?? 'binding', place: '', ours: { size, hash }, tag: await tagOf(number, hash) };
    },
    async giveUp(entry) {
      await settle(entry, GIVEN_UP);
      return { message: `${entry.place} ${entry.key}: it stays as it is in ${name}, and as it was declared in the embedded default` };
    },
    async takeOver(entry, tag) {
      if ((await tagOf(entry.number, entry.hash)) !== tag) return refuse('conflict_changed', CHANGED);
      try {
        await ask(() => declareIn(external, toDeclaration(entry)));
      } catch (error) {
        return refusalOf(error, name);
      }
      await settle(entry, TAKEN_OVER);
      return { message: `${entry.place} ${entry.key}: ${name} has it as it was declared here` };
    },
  });
}

function messageDesk(parts: BusConflictParts): ConflictDesk {
  const { fallback, name } = parts;
  const view = async (delivery: Delivery): Promise<BacklogConflict> => {
    const { headers, message_id, body } = delivery;
    return {
      id: `${MESSAGE_ID}${message_id}`,
      component: 'broker',
      kind: 'message',
      place: String(headers[REASON.queue] ?? ''),
      key: String(headers[REASON.message_id] ?? ''),
      reason: String(headers[REASON.error] ?? ''),
      ours: { size: body.length },
      tag: await tagOf(message_id, body.length),
    };
  };
  const settle = async ({ token }: Delivery) => {
    await fallback.ack(REFUSED, token);
    await parts.ended();
  };
  const decide = async (delivery: Delivery, decision: ConflictDecision): Promise<Decided> => {
    const { place, key, tag } = await view(delivery);
    const what = `message ${key} of queue ${place}`;
    if (decision.keep === 'external') {
      await settle(delivery);
      return { message: `${what} is removed` };
    }
    if (decision.tag !== tag) return refuse('conflict_changed', CHANGED);
    try {
      const message = await sentAgain(parts, readmitted(delivery));
      const { routed } = await parts.ask(() => parts.external.publish(message));
      if (!routed) return refuse('conflict_stays', `${name} has no queue for ${what}`);
    } catch (error) {
      return refusalOf(error, name);
    }
    await settle(delivery);
    return { message: `${what} has gone to ${name}` };
  };
  return {
    async list(limit, after) {
      const views: BacklogConflict[] = [];
      let isBehind = after === undefined;
      await lookThrough(fallback, async (delivery) => {
        if (isBehind) views.push(await view(delivery));
        isBehind ||= `${MESSAGE_ID}${delivery.message_id}` === after;
        return views.length < limit;
      });
      return views;
    },
    async find(id) {
      const [found] = await pick(fallback, id, view);
      return found;
    },
    async resolve(decision) {
      const [decided] = await pick(fallback, decision.id, (delivery) => decide(delivery, decision));
      return decided ?? refuse('no_such_conflict', `there is no conflict ${decision.id} on this node any more`);
    },
  };
}

/** What was routed nowhere goes to its exchange again; anything else straight into its queue. */
async function sentAgain({ passages, environment }: BusConflictParts, delivery: Delivery): Promise<OutgoingMessage> {
  return isHeld(delivery.queue) ? outgoing(delivery) : passages.into(environment.queue(delivery.queue), delivery);
}

/** What `work` makes of the message that `id` names: nothing, or one. */
async function pick<T>(bus: EmbeddedBus, id: string, work: (delivery: Delivery) => Promise<T>): Promise<T[]> {
  const found: T[] = [];
  await lookThrough(bus, async (delivery) => {
    if (`${MESSAGE_ID}${delivery.message_id}` === id) found.push(await work(delivery));
    return found.length === 0;
  });
  return found;
}

/** Hands out what was refused, oldest first, until `look` answers false; then all of it is in its queue again but for what was settled. */
async function lookThrough(bus: EmbeddedBus, look: (delivery: Delivery) => Promise<boolean>): Promise<void> {
  if (!(await bus.holdings()).some(({ queue }) => queue === REFUSED)) return;
  const taken: Delivery[] = [];
  try {
    for (let goesOn = true; goesOn && taken.length < MOST; ) {
      const batch = await bus.receive(REFUSED, { limit: BATCH, visibility_ms: LEASE_MS });
      taken.push(...batch);
      goesOn = batch.length > 0;
      for (const delivery of batch) goesOn &&= await look(delivery);
    }
  } finally {
    await Promise.all(taken.map(({ token }) => bus.reject(REFUSED, token, { requeue: true }).catch(ignoreSettled)));
  }
}

function ignoreSettled(error: unknown): void {
  if (!(error instanceof BusError && error.kind === 'unknown_delivery')) throw error;
}

function refusalOf(error: unknown, name: string): Decided {
  if (error instanceof BusError && error.kind === 'backend_away') return refuse('backend_away', error.message);
  return refuse('conflict_stays', `${name} still does not take it: ${messageOf(error)}`);
}
