import { BusError, type BusErrorKind } from '../../../shared/ports/event-bus.ts';
import { messageOf } from '../../thrown.ts';

/** Reply codes of AMQP 0-9-1 that tell what the port's errors tell; 404 and 406 depend on the text beside them. */
const KINDS: Readonly<Record<number, BusErrorKind>> = {
  311: 'unsupported', // content-too-large
  313: 'failed', // no-consumers
  403: 'unauthorized',
  405: 'incompatible', // resource-locked: somebody's exclusive queue
  506: 'full', // resource-error
  530: 'unauthorized', // not-allowed
  540: 'unsupported', // not-implemented
  541: 'failed', // internal-error
};
/** Connection-forced and success: the broker says goodbye. */
const GOODBYES = [200, 320];
const NAMED = /\bno (exchange|queue) '(.*?)' in vhost/;

/** What a broker's refusal means to the port. Whatever has no reply code is a connection that is gone. */
export function toBusError(error: unknown, subject: string): BusError {
  if (error instanceof BusError) return error;
  const code = replyCode(error);
  if (code === undefined || GOODBYES.includes(code)) {
    return new BusError('backend_away', `${subject}: the connection to RabbitMQ was lost (${reasonOf(error)})`, { cause: error });
  }
  return new BusError(kindOf(code, messageOf(error)), `${subject}: ${reasonOf(error)}`, { cause: error });
}

/** The AMQP reply code, where the broker gave one. */
export function replyCode(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

/** The broker's own words, without what the client wraps around them. */
export function reasonOf(error: unknown): string {
  const text = messageOf(error);
  return /with message "(.*)"$/s.exec(text)?.[1]?.replace(/^[A-Z_]+ - /, '') ?? text;
}

/** The exchange that a refusal is about: one that is missing, or one that may not be used. */
export function exchangeNamedBy(error: unknown): string | undefined {
  return /exchange '(.*?)' in vhost/.exec(messageOf(error))?.[1];
}

function kindOf(code: number, text: string): BusErrorKind {
  if (code === 404) {
    const missing = NAMED.exec(text)?.[1];
    if (missing === undefined) return 'backend_away'; // the queue is known, and the cluster's node that holds it is down
    return missing === 'queue' ? 'no_such_queue' : 'no_such_exchange';
  }
  if (code === 406) {
    if (text.includes('inequivalent arg')) return 'incompatible';
    if (text.includes('invalid arg')) return 'unsupported';
    if (/' in vhost '.*' not empty/.test(text)) return 'not_empty';
    if (/' in vhost '.*' in use/.test(text)) return 'in_use';
    return text.includes('limit in vhost') ? 'full' : 'failed';
  }
  return KINDS[code] ?? 'failed';
}
