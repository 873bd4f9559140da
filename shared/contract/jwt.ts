import * as z from 'zod';
import { fromBase64Url } from './base64url.ts';

/** A JWS in compact form (RFC 7515, section 7.1): its first part is JSON that begins with `{`. Without a signature its last part is empty. */
const JWT = /^e[yw][\w-]*\.[\w-]+\.[\w-]*$/;

/** True for what has the form of a JWT; says nothing about whether it is genuine. */
export function isJwt(credential: string): boolean {
  return JWT.test(credential);
}

/** True for headers that carry a JWT as credential, however it is written. */
export function carriesJwt(headers: Headers): boolean {
  return ['authorization', 'x-api-key'].some((name) => (headers.get(name) ?? '').split(/[\s,]+/).some(isJwt));
}

/** Characters; a longer one is not looked at. Of all headers together Node takes 16 KiB. */
export const LONGEST_JWT = 8192;

/** The claim `sub`, as far as this project takes one: it is shown to people and signed into documents. */
export const SUBJECT = /^\P{C}{1,240}$/u;

const Times = z.object({ iat: z.number().optional(), nbf: z.number().optional(), exp: z.number() });
export type JwtTimes = z.infer<typeof Times>;

/** When a JWT says that it was issued and ends, seconds since the Unix epoch; undefined for one that does not say it. Nothing is verified. */
export function readJwtTimes(token: string): JwtTimes | undefined {
  const payload = isJwt(token) ? fromBase64Url(token.split('.')[1] ?? '') : undefined;
  if (payload === undefined) return undefined;
  try {
    return Times.safeParse(JSON.parse(new TextDecoder().decode(payload))).data;
  } catch {
    return undefined;
  }
}
