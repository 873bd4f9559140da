import { type BackoffPolicy, backoffMs } from '../../shared/decide/backoff.ts';
import type { Clock } from '../../shared/ports/clock.ts';
import { type Database, DatabaseError, type Statement } from '../../shared/ports/database.ts';
import type { Log } from '../../shared/ports/log.ts';
import type { Random } from '../../shared/ports/random.ts';

export interface RetryDeps {
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>;
  readonly random: Pick<Random, 'next'>;
  readonly log: Pick<Log, 'warn'>;
}

/** The first try included. */
const MAX_TRIES = 4;
/** Nothing is tried again later than this after the first try began, milliseconds: whoever asks has a timeout too. */
const NO_RETRY_AFTER_MS = 2_000;
const WAIT: BackoffPolicy = { base_ms: 50, cap_ms: 400 };

/**
 * Errors of D1 that go away by themselves within moments (developers.cloudflare.com/d1/observability/debug-d1,
 * "Error list"). After each of them the batch may have been committed all the same. An overloaded database
 * is not among them: another try is more load, and the nodes come again by themselves.
 */
const TRANSIENT =
  /network connection lost|storage caused object to be reset|reset because its code was updated|transient issue on remote node|storage operation exceeded timeout which caused object to be reset|request stream because client disconnected/i;

/**
 * Tries a batch again after a transient error, if every statement of it may run twice: one that only reads,
 * or one that says so itself (`Statement.repeatable`). Everything else fails at once, as it came: after such an
 * error nobody knows whether a write took place, and the caller is the one who can find out.
 */
export function withRetries(database: Database, deps: RetryDeps): Database {
  return {
    now: database.now,
    batch: (statements) => (statements.every(mayRunTwice) ? runUntilAnswered(database, statements, deps) : database.batch(statements)),
    close: () => database.close(),
  };
}

async function runUntilAnswered(database: Database, statements: readonly Statement[], { clock, random, log }: RetryDeps) {
  const began = clock.monotonic();
  for (let tries = 1; ; tries += 1) {
    try {
      return await database.batch(statements);
    } catch (error) {
      if (!isTransient(error) || tries >= MAX_TRIES) throw error;
      const wait = backoffMs(WAIT, tries - 1, random.next());
      if (clock.monotonic() - began + wait > NO_RETRY_AFTER_MS) throw error;
      log.warn('the database did not answer; trying again', { tries, error: String(error) });
      await clock.sleep(wait);
    }
  }
}

function isTransient(error: unknown): boolean {
  return error instanceof DatabaseError && error.kind === 'busy' && TRANSIENT.test(error.message);
}

function mayRunTwice({ sql, repeatable }: Statement): boolean {
  return repeatable === true || isRead(sql);
}

/** What begins with `select` can only read. `with` may begin a write, so it has to say that it is repeatable. */
function isRead(sql: string): boolean {
  return /^\s*select\b/i.test(sql);
}
