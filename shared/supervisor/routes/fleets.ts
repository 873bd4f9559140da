import * as z from 'zod';
import {
  CreatedFleet,
  CreateFleetRequest,
  FleetList,
  FleetRecord,
  OVERLAP_SECONDS,
  RotateFleetRequest,
  whyNotOfFleet,
} from '../../contract/fleet.ts';
import { Id, toTimestamp } from '../../contract/ids.ts';
import { type Caller, holdsFleetKey } from '../auth.ts';
import type { Context } from '../context.ts';
import type { FleetRegistry } from '../identity/fleets.ts';
import { reissueDocuments } from '../identity/reissue.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { ProblemError } from '../problem.ts';
import { adminRoute, json, type Route, route } from '../route.ts';
import type { FleetView } from '../store/fleets.ts';

const Params = z.object({ fleet: Id });

/** Not there on a node, which is of one fleet. */
export function fleetRoutes(context: Context): Route[] {
  const { registry } = context.options;
  return registry === undefined ? [] : [list(registry), create(context, registry), close(context, registry), rotate(context, registry)];
}

function list(registry: FleetRegistry): Route {
  return adminRoute({
    method: 'get',
    path: '/v1/fleets',
    tag: 'fleets',
    summary: 'The fleets that were made here, in the order of their names, closed ones too',
    query: PageQuery.extend({ after: Id.optional() }),
    answers: { 200: { description: 'One page; `next` is the `after` of the one that follows.', schema: FleetList } },
    async handle({ query: { after = '', limit } }) {
      const { items, next } = pageOf(await registry.list(after, limit + 1), limit, ({ fleet }) => fleet);
      return json({ fleets: items.map(toRecord), ...next });
    },
  });
}

function create({ callers, options }: Context, registry: FleetRegistry): Route {
  return adminRoute({
    method: 'post',
    path: '/v1/fleets',
    tag: 'fleets',
    summary: 'Makes a fleet; a fleet key that is made is in this answer and in no other',
    body: CreateFleetRequest,
    answers: { 201: { description: 'The fleet.', schema: CreatedFleet } },
    problems: ['fleet_exists'],
    async handle({ body: { fleet, key } }) {
      const made = await registry.create(fleet, key);
      if (made === undefined)
        throw new ProblemError('fleet_exists', `there is a fleet ${fleet} already, open or closed; its rows are there too`);
      callers.forget();
      options.log.info('a fleet was made', { fleet });
      return shown(registry, fleet, key === undefined ? made : undefined, 201);
    },
  });
}

function close({ callers, options }: Context, registry: FleetRegistry): Route {
  return adminRoute({
    method: 'delete',
    path: '/v1/fleets/{fleet}',
    tag: 'fleets',
    summary: 'Closes a fleet: its credentials hold no more, at once here and everywhere within 60 seconds. Its rows stay',
    params: Params,
    answers: { 200: { description: 'It is closed, now or before. Its nodes go on with what they run.', schema: FleetRecord } },
    problems: ['unknown_fleet', 'fleet_fixed'],
    async handle({ params: { fleet } }) {
      refuseOwn(registry, fleet);
      await registry.close(fleet);
      callers.forget();
      options.log.info('a fleet was closed', { fleet });
      return shown(registry, fleet);
    },
  });
}

function rotate(context: Context, registry: FleetRegistry): Route {
  const { callers, options } = context;
  return route('operator', {
    method: 'post',
    path: '/v1/fleets/{fleet}/rotate',
    tag: 'fleets',
    summary: 'Replaces the fleet key; the old one holds beside it for a while. For the fleet key and an admin',
    params: Params,
    body: RotateFleetRequest,
    answers: { 200: { description: 'The fleet, with the new key when it was made here: shown this once.', schema: CreatedFleet } },
    problems: ['unknown_fleet', 'fleet_fixed', 'rotation_under_way'],
    async handle({ caller, params: { fleet }, body: { key, overlap_seconds = OVERLAP_SECONDS, force = false } }) {
      refuseOthers(caller, fleet);
      refuseOwn(registry, fleet);
      const wrong = key === undefined ? undefined : whyNotOfFleet(fleet, key);
      if (wrong !== undefined) throw new ProblemError('invalid_body', `/key: ${wrong}`, { errors: [{ pointer: '/key', detail: wrong }] });
      const made = await registry.rotate(fleet, { key, overlap_ms: overlap_seconds * 1000, force });
      callers.forget();
      if (made === undefined) throw await notRotated(registry, fleet);
      options.log.info('a fleet key was replaced', { fleet, overlap_seconds });
      const keys = await registry.keysOf(fleet);
      if (keys !== undefined) await reissueDocuments(context, keys);
      return shown(registry, fleet, key === undefined ? made : undefined);
    },
  });
}

/** Who learns the new fleet key owns the fleet: that is for who owns it already. Another fleet is as one that is not there. */
function refuseOthers(caller: Caller, fleet: string): void {
  if (caller.fleet !== fleet) throw unknownFleet(fleet);
  if (!holdsFleetKey(caller)) throw new ProblemError('forbidden', 'the fleet key is replaced by who holds it, or by an admin');
}

function refuseOwn(registry: FleetRegistry, fleet: string): void {
  if (!registry.isOwn(fleet)) return;
  throw new ProblemError('fleet_fixed', `fleet ${fleet} is the one of the settings: its key is the secret BOOTPLANE_API_KEY`);
}

async function notRotated(registry: FleetRegistry, fleet: string): Promise<ProblemError> {
  const until = (await registry.get(fleet))?.previous_until;
  const when = until === undefined || until === null ? '' : ` until ${toTimestamp(until)}`;
  const detail = `the key of fleet ${fleet} was replaced, and the one before holds${when}; send force to end that one now`;
  return new ProblemError('rotation_under_way', detail);
}

async function shown(registry: FleetRegistry, fleet: string, key?: string, status = 200): Promise<Response> {
  const row = await registry.get(fleet);
  if (row === undefined) throw unknownFleet(fleet);
  return json({ ...toRecord(row), ...(key === undefined ? {} : { key }) }, { 'cache-control': 'no-store' }, status);
}

function unknownFleet(fleet: string): ProblemError {
  return new ProblemError('unknown_fleet', `there is no fleet ${fleet} here`);
}

function toRecord({ fleet, created_at, key_id, rotated_at, previous_until, overlap_ms, closed_at }: FleetView): FleetRecord {
  return {
    fleet,
    created_at: toTimestamp(created_at),
    key_id,
    ...(rotated_at === null ? {} : { rotated_at: toTimestamp(rotated_at) }),
    ...(overlap_ms === null || previous_until === null ? {} : { replaces_until: toTimestamp(previous_until) }),
    ...(closed_at === null ? {} : { closed_at: toTimestamp(closed_at) }),
  };
}
