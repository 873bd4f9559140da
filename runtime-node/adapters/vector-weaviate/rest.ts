import { backoffMs } from '../../../shared/decide/backoff.ts';
import type { Clock } from '../../../shared/ports/clock.ts';
import type { Log } from '../../../shared/ports/log.ts';
import type { Random } from '../../../shared/ports/random.ts';
import { VectorError } from '../../../shared/ports/vector-index.ts';
import { messageOf, parse, toConnectionError, toForeignServerError, toStatedError, toStrangeAnswer, toUnauthorized } from './faults.ts';
import { createGate } from './gate.ts';
import { type Answer, type Call, createHttp, TooLate } from './http.ts';

const BACKOFF = { base_ms: 100, cap_ms: 2000 };
/** What a server or a proxy before it says while it is starting, busy or gone. */
const PASSING = [429, 502, 503, 504];

export interface RestOptions {
  /** As it was checked: http or https, no credentials. */
  readonly base: URL;
  readonly api_key?: string;
  readonly ca?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly timeout_ms: number;
  readonly max_calls: number;
  readonly max_waiting: number;
  readonly attempts: number;
}

export interface Reply {
  readonly status: number;
  readonly text: string;
}

/**
 * Weaviate's REST API. Each call of this adapter may be repeated without harm (objects are replaced by id, and a class that
 * was made already is found to be there), so whatever fails in passing is tried again. A call that got no answer
 * in time is not: the server is busy with it.
 */
export function createRest(options: RestOptions) {
  const { base, api_key, clock, random, log, attempts } = options;
  const place = `${base.origin}${base.pathname === '/' ? '' : base.pathname}`;
  const headers: Record<string, string> = api_key === undefined ? {} : { authorization: `Bearer ${api_key}` };
  const http = createHttp({ ...options, headers, max_sockets: options.max_calls });
  const crowded = () => new VectorError('failed', `More than ${options.max_waiting} calls wait for Weaviate at ${place}`);
  const gate = createGate(options.max_calls, options.max_waiting, crowded);
  const closing = new AbortController();
  let greeting: Promise<void> | undefined;

  /** An answer that the caller has to judge, or a `VectorError`. */
  async function once(call: Call): Promise<Answer> {
    const answer = await http.send(call, closing.signal).catch((error: unknown) => {
      throw closing.signal.aborted ? closed() : toConnectionError(error, place);
    });
    const { status, text } = answer;
    if (status === 401 || status === 403) throw toUnauthorized(status, parse(text), place, api_key !== undefined);
    if (PASSING.includes(status)) {
      throw new VectorError('backend_away', `Weaviate at ${place} answers ${status}: ${messageOf(parse(text)) ?? text.slice(0, 200)}`);
    }
    return answer;
  }

  async function repeated(call: Call): Promise<Answer> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await once(call);
      } catch (error) {
        if (!isPassing(error) || attempt + 1 >= attempts || closing.signal.aborted) throw error;
        log.debug('A call to Weaviate is repeated', { path: call.path, attempt, reason: error.message });
        await clock.sleep(backoffMs(BACKOFF, attempt, random.next()), closing.signal);
      }
    }
  }

  /** Once, before the first call: a server of another kind must not be taken for a Weaviate without classes. */
  async function greet(): Promise<void> {
    const answer = await repeated({ method: 'GET', path: '/v1/meta' });
    const meta = parse(answer.text);
    const isWeaviate = answer.status === 200 && typeof meta === 'object' && meta !== null && 'version' in meta && 'modules' in meta;
    if (!isWeaviate) throw toForeignServerError(answer, place);
    log.info('Weaviate answers', { url: place, version: meta.version });
  }

  function closed(): VectorError {
    return new VectorError('failed', `The vector index ${place} is closed`);
  }

  return {
    place,

    /** Answers with one of the statuses of `expected`. `subject` is what is being done, for errors. */
    async call(call: Call, expected: readonly number[], subject: string): Promise<Reply> {
      if (closing.signal.aborted) throw closed();
      const answer = await gate(async () => {
        greeting ??= greet().catch((error) => {
          greeting = undefined;
          throw error;
        });
        await greeting;
        return repeated(call);
      });
      if (expected.includes(answer.status)) return answer;
      const said = messageOf(parse(answer.text));
      if (said === undefined) throw toStrangeAnswer(answer, subject, place);
      throw toStatedError(said, subject);
    },

    close(): void {
      closing.abort();
      http.close();
    },
  };
}

export type Rest = ReturnType<typeof createRest>;

function isPassing(error: unknown): error is VectorError {
  return error instanceof VectorError && error.kind === 'backend_away' && !(error.cause instanceof TooLate);
}
