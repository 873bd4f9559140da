import { expect, it } from 'vitest';
import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { MIGRATIONS, missingMigrations } from '../../../shared/supervisor/store/migrations.ts';
import { migrations } from '../../runtime/node-harness.ts';
import { SimulatedClock } from '../../support/simulated-clock.ts';

it('the list that a Worker has with it is that of the folder', () => {
  expect(MIGRATIONS).toEqual(migrations.map(({ name }) => name));
});

it.each([
  ['an empty database', 0],
  ['one of an older version', 3],
  ['one of this version', migrations.length],
])('what is missing in %s is named', async (_name, count) => {
  const applied = migrations.slice(0, count);
  const database = openSqlite({ path: ':memory:', clock: new SimulatedClock(), ...(count === 0 ? {} : { migrations: applied }) });
  expect(await missingMigrations(database)).toEqual(MIGRATIONS.slice(count));
  await database.close();
});
