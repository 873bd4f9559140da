import { readFile } from 'node:fs/promises';
import { toTimestamp } from '../../shared/contract/ids.ts';
import { isJwt, readJwtTimes } from '../../shared/contract/jwt.ts';
import type { Settings } from '../config.ts';
import { messageOf } from '../thrown.ts';
import { type Finding, fail, ok, warn } from './doctor-finding.ts';
import type { Io } from './io.ts';

/** What JWT mode reads from files; nothing where it is not used. No token is printed. */
export async function checkTokens(io: Io, { token_file, jwks_file }: Settings): Promise<Finding[]> {
  return Promise.all([
    ...(token_file === undefined ? [] : [checkToken(io, token_file)]),
    ...(jwks_file === undefined ? [] : [checkKeys(jwks_file)]),
  ]);
}

async function checkToken(io: Io, path: string): Promise<Finding> {
  const renew = 'See that the agent which renews it runs; the node takes the new one as soon as it is there.';
  const text = await readText(path);
  if (typeof text !== 'string') return fail('credential', `${path} can't be read: ${text.why}`, renew);
  if (!isJwt(text)) return fail('credential', `${path} holds no JWT`, renew);
  const times = readJwtTimes(text);
  if (times === undefined) return warn('credential', `the JWT in ${path} does not say when it ends`, 'A Supervisor refuses such a token.');
  const end = times.exp * 1000;
  const life = end - (times.iat ?? times.nbf ?? times.exp) * 1000;
  const when = Math.abs(end) <= LATEST_MS ? toTimestamp(end) : 'no time that there is';
  if (io.now() >= end) return fail('credential', `the JWT in ${path} expired at ${when}`, renew);
  if (io.now() >= end - life / 3) return warn('credential', `the JWT in ${path} ends at ${when} and is not renewed yet`, renew);
  return ok('credential', `the JWT in ${path} is good until ${when}`);
}

/** ECMAScript, section 21.4.1.1. */
const LATEST_MS = 8.64e15;

/** Whether the keys can be used the node itself says in its log. */
async function checkKeys(path: string): Promise<Finding> {
  const text = await readText(path);
  const advice = 'It is the JSON Web Key Set of who issues the tokens.';
  if (typeof text !== 'string') return fail('keys of JWTs', `${path} can't be read: ${text.why}`, advice);
  try {
    const { keys } = JSON.parse(text) as { readonly keys?: unknown };
    if (Array.isArray(keys)) return ok('keys of JWTs', `${path} holds ${keys.length}`);
  } catch {
    // Told below.
  }
  return fail('keys of JWTs', `${path} holds no JSON Web Key Set`, advice);
}

async function readText(path: string): Promise<string | { readonly why: string }> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    return { why: messageOf(error) };
  }
}
