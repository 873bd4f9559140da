import { describe, expect, it } from 'vitest';
import { d1Database, toDatabaseError } from '../../../functions/adapters/d1.ts';
import { databaseSuite } from '../../conformance/database.suite.ts';
import { freshD1 } from './harness.ts';

databaseSuite('D1 in workerd', async () => ({ database: d1Database(await freshD1()), drop: async () => undefined }));

describe('what D1 says in words', () => {
  it.each([
    ['D1_ERROR: D1 DB is overloaded. Requests queued for too long.', 'busy'],
    ['D1_ERROR: Network connection lost.', 'busy'],
    ['Internal error while starting up D1 DB storage caused object to be reset.', 'busy'],
    ['D1_ERROR: Exceeded maximum DB size.', 'full'],
    ['D1_ERROR: database or disk is full: SQLITE_FULL', 'full'],
    ['D1_ERROR: UNIQUE constraint failed: t.x: SQLITE_CONSTRAINT', 'constraint'],
    ['D1_ERROR: database disk image is malformed: SQLITE_CORRUPT', 'corrupt'],
    ['D1_ERROR: no such table: t: SQLITE_ERROR', 'failed'],
  ])('%s is %s', (message, kind) => {
    expect(toDatabaseError(new Error(message)).kind).toBe(kind);
  });
});
