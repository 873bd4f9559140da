import type { Binding, ExchangeType } from '../../shared/contract/profile.ts';
import type { OutgoingMessage } from '../../shared/ports/event-bus.ts';

type Routed = Pick<OutgoingMessage, 'key' | 'headers'>;

/** Whether an exchange of this type sends a message along a binding (AMQP 0-9-1, section 3.1.3). */
export function routes(type: ExchangeType, binding: Pick<Binding, 'key' | 'arguments'>, message: Routed): boolean {
  switch (type) {
    case 'fanout':
      return true;
    case 'direct':
      return binding.key === message.key;
    case 'topic':
      return matchesTopic(words(binding.key), words(message.key));
    case 'headers':
      return matchesHeaders(binding.arguments, message.headers ?? {});
    default:
      return type satisfies never;
  }
}

function words(key: string): string[] {
  return key === '' ? [] : key.split('.');
}

/** `*` stands for one word, `#` for any number of them. */
function matchesTopic(pattern: readonly string[], key: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return key.length === 0;
  if (first === '#') return matchesTopic(rest, key) || (key.length > 0 && matchesTopic(pattern, key.slice(1)));
  return key.length > 0 && (first === '*' || first === key[0]) && matchesTopic(rest, key.slice(1));
}

/** Names that start with x- are not compared, but with `all-with-x` and `any-with-x` (RabbitMQ). */
function matchesHeaders(wanted: Binding['arguments'], headers: Readonly<Record<string, unknown>>): boolean {
  const mode = String(wanted['x-match'] ?? 'all');
  const compared = Object.entries(wanted).filter(([name]) => name !== 'x-match' && (mode.endsWith('-with-x') || !name.startsWith('x-')));
  const same = ([name, value]: [string, unknown]) => Object.hasOwn(headers, name) && headers[name] === value;
  return mode.startsWith('any') ? compared.some(same) : compared.every(same);
}
