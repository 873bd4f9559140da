import * as z from 'zod';
import { toBase64Url } from '../../contract/base64url.ts';
import { sha256Hex } from '../../contract/canonical.ts';
import { Id, toTimestamp } from '../../contract/ids.ts';
import { CreatedKey, CreateKeyRequest, formatIssuedKey, IssuedKey, JOIN_SECONDS, KeyList, type KeyState } from '../../contract/key.ts';
import { type Caller, nameOfCaller } from '../auth.ts';
import type { Context } from '../context.ts';
import { PageQuery, pageOf } from '../paging.ts';
import { ProblemError } from '../problem.ts';
import { json, type Route, route } from '../route.ts';
import type { NewEvent } from '../store/events.ts';
import type { KeyView } from '../store/keys.ts';

export function keyRoutes(context: Context): Route[] {
  return [list(context), create(context), revoke(context)];
}

function list({ keys }: Context): Route {
  return route('operator', {
    method: 'get',
    path: '/v1/keys',
    tag: 'keys',
    summary: 'The keys that were issued, without the keys themselves',
    query: PageQuery.extend({ after: Id.optional() }),
    answers: { 200: { description: 'One page; `next` is the `after` of the one that follows.', schema: KeyList } },
    async handle({ caller: { fleet }, query: { after = '', limit } }) {
      const { items, next } = pageOf(await keys.list(fleet, after, limit + 1), limit, ({ key_id }) => key_id);
      return json({ keys: items.map(toRecord), ...next });
    },
  });
}

function create(context: Context): Route {
  const { keys, events, options } = context;
  return route('operator', {
    method: 'post',
    path: '/v1/keys',
    tag: 'keys',
    summary: 'Issues a key; this answer is the only one that holds it',
    body: CreateKeyRequest,
    answers: { 201: { description: 'The key. It is kept as a hash only.', schema: CreatedKey } },
    async handle({ caller, body }) {
      const { fleet } = caller;
      const seconds = body.expires_in_seconds ?? (body.scope === 'join' ? JOIN_SECONDS : undefined);
      refuseOutliving(caller, seconds, options.clock.now());
      const name = { fleet, key_id: toHex(options.random.bytes(8)) };
      const key = formatIssuedKey(name, toBase64Url(options.random.bytes(32)));
      const { scope, label = null, node_id = null, site = null, max_uses = null } = body;
      const created_by = nameOfCaller(caller);
      const expires_in_ms = seconds === undefined ? null : seconds * 1000;
      const row = { ...name, hash: await sha256Hex(key), scope, label, node_id, site, max_uses, created_by, expires_in_ms };
      const event = keyEvent(row, 'created', caller);
      await options.database.batch([keys.insert(row), events.append(event)]);
      context.announce(event);
      const view = await keys.get(name);
      if (view === undefined) throw new TypeError('a key that was just made is not there');
      const { self } = options;
      const created: CreatedKey = { ...toRecord(view), key, ...(self === undefined ? {} : { leader_node_id: self.node_id }) };
      return json(created, { location: `/v1/keys/${name.key_id}`, 'cache-control': 'no-store' }, 201);
    },
  });
}

function revoke(context: Context): Route {
  const { keys, events, options, callers } = context;
  return route('operator', {
    method: 'delete',
    path: '/v1/keys/{key_id}',
    tag: 'keys',
    summary: 'Revokes a key: at once where this is answered, and everywhere within 60 seconds',
    params: z.object({ key_id: Id }),
    answers: { 200: { description: 'It is revoked, now or before.', schema: IssuedKey } },
    problems: ['unknown_key'],
    async handle({ caller, params: { key_id } }) {
      const name = { fleet: caller.fleet, key_id };
      const row = await keys.get(name);
      if (row === undefined) throw unknownKey(key_id, options.self !== undefined);
      const event = keyEvent(row, 'revoked', caller);
      const [revoked] = await options.database.batch([keys.revoke(name), events.append(event)]);
      callers.forget();
      if (revoked?.length === 1) context.announce(event);
      return json(toRecord((await keys.get(name)) ?? row));
    },
  });
}

/** Another node may have issued it, which has its row: as long as that one does not lead nobody can reach it. */
function unknownKey(key_id: string, isAtSite: boolean): ProblemError {
  const elsewhere = isAtSite ? '. A key that another node issued holds only while that one leads, and can be revoked only then' : '';
  return new ProblemError('unknown_key', `there is no key ${key_id}; GET /v1/keys lists those there are${elsewhere}`);
}

/** The log tells who made and ended which key; it never holds one. */
function keyEvent({ fleet, key_id, scope, label, site }: KeyName, action: 'created' | 'revoked', caller: Caller): NewEvent {
  const data = { action, key_id, scope, by: nameOfCaller(caller), ...(label === null ? {} : { label }) };
  return { fleet, type: 'overlay.key', site: site ?? 'default', data, dedupe: `key/${action}/${key_id}` };
}

type KeyName = Pick<KeyView, 'fleet' | 'key_id' | 'scope' | 'label' | 'site'>;

/** What an issued key mints ends with it, or before, and what a JWT mints has an end: else its own end would be none. */
function refuseOutliving(caller: Caller, seconds: number | undefined, now: number): void {
  if (seconds === undefined && 'subject' in caller && caller.subject !== undefined) {
    throw new ProblemError('forbidden', 'a JWT has an end, and so has the key that it makes: give expires_in_seconds');
  }
  const end = 'issued' in caller ? caller.issued?.expires_at : undefined;
  if (end === undefined || (seconds !== undefined && now + seconds * 1000 <= end)) return;
  throw new ProblemError('forbidden', `the key that makes this one ends at ${toTimestamp(end)}: give expires_in_seconds that ends by then`);
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function toRecord(row: KeyView): IssuedKey {
  const { label, node_id, site, max_uses, expires_at, last_used_at, revoked_at } = row;
  return {
    key_id: row.key_id,
    scope: row.scope,
    state: stateOf(row),
    ...(label === null ? {} : { label }),
    ...(node_id === null ? {} : { node_id }),
    ...(site === null ? {} : { site }),
    ...(max_uses === null ? {} : { max_uses }),
    ...(row.scope === 'join' ? { uses: row.uses } : {}),
    created_at: toTimestamp(row.created_at),
    created_by: row.created_by,
    ...(expires_at === null ? {} : { expires_at: toTimestamp(expires_at) }),
    ...(last_used_at === null ? {} : { last_used_at: toTimestamp(last_used_at) }),
    ...(revoked_at === null ? {} : { revoked_at: toTimestamp(revoked_at) }),
  };
}

function stateOf({ revoked_at, expired, max_uses, uses }: KeyView): KeyState {
  if (revoked_at !== null) return 'revoked';
  if (expired === 1) return 'expired';
  return max_uses !== null && uses >= max_uses ? 'used_up' : 'active';
}
