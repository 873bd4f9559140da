import type { Channel } from 'amqplib';
import type { Clock } from '../../../shared/ports/clock.ts';
import { BusError } from '../../../shared/ports/event-bus.ts';
import type { Link } from './link.ts';

/** Longer than a broker that is well needs for an answer. */
const ANSWER_LIMIT_MS = 30_000;
const LATE: unique symbol = Symbol('late');

/**
 * Resolves as `answer` does. Rejects with `backend_away` where none comes: a broker that is starting or ending may take a call and
 * never answer it, on a connection that goes on living. `subject` begins the message; `limit_ms`: milliseconds.
 */
export async function inTime<T>(clock: Clock, subject: string, answer: Promise<T>, limit_ms = ANSWER_LIMIT_MS): Promise<Awaited<T>> {
  const over = new AbortController();
  const late = clock.sleep(limit_ms, over.signal).then((): typeof LATE => LATE);
  try {
    const first = await Promise.race([answer, late]);
    if (first !== LATE) return first;
  } finally {
    over.abort();
  }
  answer.catch(() => {});
  throw new BusError('backend_away', `${subject}: RabbitMQ did not answer within ${limit_ms / 1000} s`);
}

/** Opens a channel on a connection. One that opens too late is closed again. */
export async function openChannel<C extends Channel = Channel>(
  { link, clock }: { readonly link: Link; readonly clock: Clock },
  subject: string,
  open: (model: Awaited<ReturnType<Link['model']>>) => Promise<C>,
): Promise<C> {
  const opening = open(await link.model());
  try {
    return await inTime(clock, subject, opening);
  } catch (error) {
    opening.then(closeQuietly, () => {});
    throw error;
  }
}

/** Closes a channel that may be closed already. */
export function closeQuietly(channel: Channel): void {
  try {
    channel.close().catch(() => {});
  } catch {
    // It was closed before: that is what is wanted.
  }
}
