import Sqlite from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GroupCommit } from '../../runtime-node/adapters/sqlite-file/group-commit.ts';

let database: Sqlite.Database;
beforeEach(() => {
  database = new Sqlite(':memory:');
  database.exec('create table t (x)');
});
afterEach(() => database.close());

/** A group commit whose rollbacks fail as long as `broken` says so. */
function open(broken: { rollback: boolean }): GroupCommit {
  const prepare = database.prepare.bind(database);
  const withFault = (sql: string) => {
    const statement = prepare(sql);
    if (sql !== 'rollback') return statement;
    const run = () => {
      if (broken.rollback) throw new Error('the disk is gone');
      return statement.run();
    };
    return { run };
  };
  const faulty = new Proxy(database, {
    get: (target, key) => {
      if (key === 'prepare') return withFault;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return new GroupCommit(faulty, { isRefusal: () => false, translate: (error) => new Error(`told: ${String(error)}`) });
}

describe('a group of which the rollback fails too', () => {
  it('is told so, each one, and the next is served when rollbacks work again', async () => {
    const broken = { rollback: true };
    const commit = open(broken);
    const insert = (x: number) => commit.run(() => database.prepare('insert into t values (?)').run(x).changes);
    const fault = commit.run(() => {
      throw new Error('out of order');
    });
    const outcomes = await Promise.allSettled([insert(1), fault, insert(2)]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    broken.rollback = false;
    expect(await insert(3)).toBe(1);
    await commit.drain();
    expect(database.prepare('select x from t').pluck().all()).toEqual([3]);
  });
});
