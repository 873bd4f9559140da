import { sql } from 'drizzle-orm';
import type { Database } from '../../ports/database.ts';
import { component_status } from './schema.ts';
import { arg, compileSql } from './sql.ts';

export type StatusRow = typeof component_status.$inferSelect;

export type StatusStore = ReturnType<typeof createStatusStore>;

export function createStatusStore(database: Database) {
  const queries = compileQueries();
  return {
    async ofNode(fleet: string, node_id: string): Promise<StatusRow[]> {
      const [rows] = await database.batch([queries.ofNode.bind({ fleet, node_id })]);
      return queries.ofNode.read(rows);
    },
  };
}

function compileQueries() {
  return {
    ofNode: compileSql<StatusRow>(
      sql`select * from component_status where fleet = ${arg('fleet')} and node_id = ${arg('node_id')}`,
      component_status,
    ),
  };
}
