import type { BusValue, ExchangeType } from '../../../shared/contract/profile.ts';

type Headers = Readonly<Record<string, BusValue>>;

/** One binding, as far as routing goes. `target` is what it leads to. */
export interface Route<T> {
  readonly key: string;
  readonly arguments: Headers;
  readonly target: T;
}

/** Targets of a message, each once, however many bindings lead there. */
export type Router<T> = (key: string, headers: Headers) => Set<T>;

/** The matching rules of RabbitMQ for one exchange. */
export function createRouter<T>(type: ExchangeType, routes: readonly Route<T>[]): Router<T> {
  switch (type) {
    case 'direct':
      return directRouter(routes);
    case 'fanout':
      return () => new Set(routes.map(({ target }) => target));
    case 'topic':
      return topicRouter(routes);
    case 'headers':
      return (_key, headers) => new Set(routes.filter((route) => headersMatch(route.arguments, headers)).map(({ target }) => target));
    default:
      throw new TypeError(`There is no exchange type ${type satisfies never}`);
  }
}

function directRouter<T>(routes: readonly Route<T>[]): Router<T> {
  const targets = Map.groupBy(routes, ({ key }) => key);
  return (key) => new Set(targets.get(key)?.map(({ target }) => target));
}

interface TopicNode<T> {
  readonly words: Map<string, TopicNode<T>>;
  readonly targets: Set<T>;
  /** Reached by `#`: any word leads back to it. */
  readonly loops: boolean;
  star?: TopicNode<T>;
  hash?: TopicNode<T>;
}

/**
 * A trie of patterns, walked as an automaton: the set of nodes that the words so far can have led
 * to. So the cost is linear in words and nodes, also for patterns such as `#.#.#`.
 */
function topicRouter<T>(routes: readonly Route<T>[]): Router<T> {
  const root = topicNode<T>(false);
  for (const { key, target } of routes) {
    let node = root;
    for (const word of wordsOf(key)) node = childOf(node, word);
    node.targets.add(target);
  }
  return (key) => {
    let reached = withHashes(new Set([root]));
    for (const word of wordsOf(key)) reached = withHashes(step(reached, word));
    return new Set([...reached].flatMap(({ targets }) => [...targets]));
  };
}

/** `a..b` has an empty word in the middle; the empty key has no words at all (as in RabbitMQ 3). */
function wordsOf(key: string): string[] {
  return key === '' ? [] : key.split('.');
}

function topicNode<T>(loops: boolean): TopicNode<T> {
  return { words: new Map(), targets: new Set(), loops };
}

function childOf<T>(node: TopicNode<T>, word: string): TopicNode<T> {
  if (word === '*') {
    node.star ??= topicNode(false);
    return node.star;
  }
  if (word === '#') {
    node.hash ??= topicNode(true);
    return node.hash;
  }
  const child = node.words.get(word) ?? topicNode<T>(false);
  node.words.set(word, child);
  return child;
}

function step<T>(reached: ReadonlySet<TopicNode<T>>, word: string): Set<TopicNode<T>> {
  const next = new Set<TopicNode<T>>();
  for (const node of reached) {
    if (node.loops) next.add(node);
    for (const child of [node.words.get(word), node.star]) if (child) next.add(child);
  }
  return next;
}

/** Adds what `#` reaches with no word. A Set's iteration visits what is added on the way. */
function withHashes<T>(reached: Set<TopicNode<T>>): Set<TopicNode<T>> {
  for (const { hash } of reached) if (hash) reached.add(hash);
  return reached;
}

export const X_MATCH = ['all', 'any', 'all-with-x', 'any-with-x'] as const;

/** `all` (the default) of nothing matches each message, `any` of nothing matches none. */
export function headersMatch(wanted: Headers, headers: Headers): boolean {
  const mode = String(wanted['x-match'] ?? 'all');
  const counts = (name: string) => (mode.endsWith('-with-x') ? name !== 'x-match' : !name.startsWith('x-'));
  const names = Object.keys(wanted).filter(counts);
  const matches = (name: string) => Object.hasOwn(headers, name) && headers[name] === wanted[name];
  return mode.startsWith('any') ? names.some(matches) : names.every(matches);
}
