import type Sqlite from 'better-sqlite3';
import { VectorError } from '../../../shared/ports/vector-index.ts';

/** Begins the name of a class that was removed and whose objects are still there: no class can be declared with it. */
const GONE = '\u0001';
/** Objects that one commit takes, so that it never holds up others for long. */
const CHUNK = 500;

/** Takes classes away. One is gone with the commit that renames it; its objects follow in parts, also after a crash. */
export class ClassRemoval {
  readonly #sql: ReturnType<typeof statements>;
  readonly #write: <T>(work: () => T) => Promise<T>;

  /** `write` runs its work in a transaction; durable when it resolves. */
  constructor(database: Sqlite.Database, write: <T>(work: () => T) => Promise<T>) {
    this.#sql = statements(database);
    this.#write = write;
  }

  async remove(name: string, if_empty: boolean): Promise<void> {
    await this.#write(() => {
      const row = this.#sql.class.get(name);
      if (row === undefined) return;
      const { count } = this.#sql.count.get(row.id) ?? { count: 0 };
      if (if_empty && count > 0) throw new VectorError('not_empty', `The class ${name} holds ${count} objects: it was left as it is`);
      this.#sql.rename.run(`${GONE}${row.id}`, row.id);
    });
    await this.discardLeft();
  }

  /** Also what a crash has left. */
  async discardLeft(): Promise<void> {
    const some = () => {
      const left = this.#sql.left.get(GONE, `${GONE}:`);
      if (left === undefined) return false;
      if (this.#sql.discard.run(left.id, CHUNK).changes > 0) return true;
      this.#sql.forgetProperties.run(left.id);
      this.#sql.forget.run(left.id);
      return true;
    };
    while (await this.#write(some));
  }
}

function statements(database: Sqlite.Database) {
  return {
    class: database.prepare<[string], { id: number }>('select id from classes where name = ?'),
    count: database.prepare<[number], { count: number }>('select count(*) as count from objects where class = ?'),
    rename: database.prepare('update classes set name = ? where id = ?'),
    left: database.prepare<[string, string], { id: number }>('select id from classes where name > ? and name < ? limit 1'),
    discard: database.prepare('delete from objects where seq in (select seq from objects where class = ? limit ?)'),
    forgetProperties: database.prepare('delete from properties where class = ?'),
    forget: database.prepare('delete from classes where id = ?'),
  };
}
