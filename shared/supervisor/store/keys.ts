import { sql } from 'drizzle-orm';
import type { IssuedKeyName } from '../../contract/key.ts';
import type { Database, Statement } from '../../ports/database.ts';
import type { issued_keys } from './identity-schema.ts';
import { arg, compileSql, nowOf, repeatable } from './sql.ts';

export type KeyRow = typeof issued_keys.$inferSelect;

/** A key that somebody has presented. */
export interface UsedKey extends KeyRow {
  /** 1 when its time is over. */
  readonly expired: 0 | 1;
}

/** A key with what the database says of it now. */
export interface KeyView extends UsedKey {
  /** Of a join key: the nodes that it has let in. */
  readonly uses: number;
}

export type NewKey = Omit<KeyRow, 'created_at' | 'expires_at' | 'last_used_at' | 'revoked_at'> & {
  /** Null: it has no end. */
  readonly expires_in_ms: number | null;
};

/** `last_used_at` is written again only after this. */
const USED_EVERY_MS = 3_600_000;
/** For so long a key that has ended is still listed. */
const LISTED_AFTER_END_MS = 30 * 86_400_000;

export type KeyStore = ReturnType<typeof createKeyStore>;

export function createKeyStore(database: Database) {
  const queries = compileQueries(database);
  const one = async (statement: Statement) => queries.get.read((await database.batch([statement]))[0])[0];
  return {
    /** The statement that keeps a new key, for the batch that tells of it. */
    insert: (key: NewKey): Statement => queries.insert.bind({ ...key }),
    get: (name: IssuedKeyName): Promise<KeyView | undefined> => one(queries.get.bind({ ...name })),
    async list(fleet: string, after: string, limit: number): Promise<KeyView[]> {
      const [rows] = await database.batch([queries.list.bind({ fleet, after, limit })]);
      return queries.list.read(rows);
    },
    /** The key of this name if it has this hash, also one that has ended. Notes that a good one was used, at most once an hour. */
    async use(name: IssuedKeyName, hash: string): Promise<UsedKey | undefined> {
      const [rows] = await database.batch([queries.find.bind({ ...name, hash }), queries.touch.bind({ ...name, hash })]);
      return queries.find.read(rows)[0];
    },
    /** The statement that ends a key. Returns a row when it was good before. */
    revoke: (name: IssuedKeyName): Statement => queries.revoke.bind({ ...name }),
    /**
     * True when the key lets this node in, now or before: one statement takes the use, so no two take the last. A node that is
     * registered is not let in anew.
     */
    async join(name: IssuedKeyName, node_id: string): Promise<boolean> {
      const [, rows] = await database.batch([queries.join.bind({ ...name, node_id }), queries.joined.bind({ ...name, node_id })]);
      return rows?.length === 1;
    },
    /** Drops the keys that ended a month ago, with the list of their nodes. */
    async trim(): Promise<void> {
      await database.batch([queries.trimUses.bind({}), queries.trim.bind({})]);
    },
  };
}

function compileQueries(database: Database) {
  const now = nowOf(database);
  const named = sql`fleet = ${arg('fleet')} and key_id = ${arg('key_id')}`;
  const expired = sql`(expires_at is not null and expires_at <= ${now})`;
  const good = sql`revoked_at is null and not ${expired}`;
  const uses = sql`(select count(*) from join_uses where join_uses.fleet = issued_keys.fleet and join_uses.key_id = issued_keys.key_id)`;
  const view = sql`select *, ${expired} as expired, ${uses} as uses from issued_keys`;
  const over = sql`coalesce(revoked_at, expires_at) < ${now} - ${sql.raw(String(LISTED_AFTER_END_MS))}`;
  return {
    insert: compileSql<never>(sql`
      insert into issued_keys (fleet, key_id, hash, scope, label, node_id, site, max_uses, created_at, created_by, expires_at)
      values (${arg('fleet')}, ${arg('key_id')}, ${arg('hash')}, ${arg('scope')}, ${arg('label')}, ${arg('node_id')}, ${arg('site')},
        ${arg('max_uses')}, ${now}, ${arg('created_by')}, ${now} + ${arg('expires_in_ms')})`),
    get: compileSql<KeyView>(sql`${view} where ${named}`),
    list: compileSql<KeyView>(
      sql`${view} where fleet = ${arg('fleet')} and key_id > ${arg('after')} order by key_id limit ${arg('limit')}`,
    ),
    find: compileSql<UsedKey>(sql`select *, ${expired} as expired from issued_keys where ${named} and hash = ${arg('hash')}`),
    touch: repeatable(
      compileSql<never>(sql`
      update issued_keys set last_used_at = ${now}
      where ${named} and hash = ${arg('hash')} and ${good}
        and (last_used_at is null or last_used_at <= ${now} - ${sql.raw(String(USED_EVERY_MS))})`),
    ),
    revoke: compileSql<{ key_id: string }>(
      sql`update issued_keys set revoked_at = ${now} where ${named} and revoked_at is null returning key_id`,
    ),
    join: repeatable(
      compileSql<never>(sql`
      insert into join_uses (fleet, key_id, node_id, at)
      select fleet, key_id, ${arg('node_id')}, ${now} from issued_keys
      where ${named} and scope = 'join' and ${good} and (max_uses is null or ${uses} < max_uses)
        and not exists (select 1 from nodes where nodes.fleet = issued_keys.fleet and nodes.node_id = ${arg('node_id')})
      on conflict do nothing`),
    ),
    joined: compileSql<{ node_id: string }>(sql`
      select node_id from join_uses where ${named} and node_id = ${arg('node_id')}
        and exists (select 1 from issued_keys where ${named} and ${good})`),
    trimUses: compileSql<never>(sql`
      delete from join_uses where (fleet, key_id) in (select fleet, key_id from issued_keys where ${over})`),
    trim: compileSql<never>(sql`delete from issued_keys where ${over}`),
  };
}
