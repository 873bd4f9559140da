import { describe, expect, it } from 'vitest';
import { problem } from '../../../shared/contract/problem.ts';
import { Refused } from '../../../shared/dashboard/public/api.js';
import { whoAmI } from '../../../shared/dashboard/public/who.js';

type Answers = Record<string, unknown>;

/** An api that gives these answers, by path; an error is thrown. */
const apiOf = (answers: Answers) => {
  const get = async (path: string) => {
    if (answers[path] instanceof Error) throw answers[path];
    return answers[path];
  };
  return { get, asStranger: get, find: get, now: () => 0 };
};
const noFleet = new Refused(problem('bad_request', 'name a fleet'), null);
const health = { status: 'ok' };

describe('whose credential it is', () => {
  it('is of an admin where no fleet is named and the fleets may be read', async () => {
    const fleets = [{ fleet: 'acme' }];
    expect(await whoAmI(apiOf({ '/healthz': health, '/v1/state': noFleet, '/v1/fleets': { fleets } }))).toEqual({ kind: 'admin', fleets });
  });

  it('is of nobody where neither may be read: the first answer says why', async () => {
    const forbidden = new Refused(problem('forbidden', 'not for you'), null);
    await expect(whoAmI(apiOf({ '/healthz': health, '/v1/state': noFleet, '/v1/fleets': forbidden }))).rejects.toBe(noFleet);
  });

  it('is of nobody where it is not known, though a cloud that is away could be asked for the fleets', async () => {
    const unknown = new Refused(problem('unauthenticated', 'not of this fleet'), null);
    const away = new Refused(problem('unavailable', 'the cloud does not answer'), '3');
    await expect(whoAmI(apiOf({ '/healthz': health, '/v1/state': unknown, '/v1/fleets': away }))).rejects.toBe(unknown);
  });

  it('is not known yet while the fleets can only now not be read', async () => {
    const busy = new Refused(problem('unavailable', 'in a moment'), '3');
    await expect(whoAmI(apiOf({ '/healthz': health, '/v1/state': noFleet, '/v1/fleets': busy }))).rejects.toBe(busy);
  });
});
