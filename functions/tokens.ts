import { isLoopback } from '../shared/contract/loopback.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import type { Keyring, TokenVerifier } from '../shared/supervisor/auth.ts';
import { createTextJwks, fixedText } from '../shared/supervisor/tokens/jwks-text.ts';
import { createUrlJwks } from '../shared/supervisor/tokens/jwks-url.ts';
import { readKeySet } from '../shared/supervisor/tokens/key-set.ts';
import { DEFAULT_SKEW_SECONDS, MAX_SKEW_SECONDS, whyNotJwksUrl, wrongJwtSettings } from '../shared/supervisor/tokens/settings.ts';
import { createTokenVerifier } from '../shared/supervisor/tokens/verifier.ts';
import { SetupError } from './setup-error.ts';

/** The settings of JWT mode. None of them is a secret. */
export interface TokenBindings {
  /** Where the keys are that sign the JWTs. */
  readonly BOOTPLANE_JWKS_URL?: string;
  /** The keys themselves, as JSON, instead of the URL. */
  readonly BOOTPLANE_JWKS?: string;
  readonly BOOTPLANE_JWT_ISSUER?: string;
  readonly BOOTPLANE_JWT_AUDIENCE?: string;
  /** Default 60. */
  readonly BOOTPLANE_JWT_SKEW_SECONDS?: string | number;
  /** `on`: JWTs are taken over plain http from other machines too. */
  readonly BOOTPLANE_INSECURE_HTTP?: string;
}

export const TOKEN_SETTINGS = [
  'BOOTPLANE_JWKS_URL',
  'BOOTPLANE_JWKS',
  'BOOTPLANE_JWT_ISSUER',
  'BOOTPLANE_JWT_AUDIENCE',
  'BOOTPLANE_JWT_SKEW_SECONDS',
  'BOOTPLANE_INSECURE_HTTP',
] as const satisfies readonly (keyof TokenBindings)[];

interface Parts {
  readonly fleets: Keyring;
  readonly clock: Clock;
  readonly log: Log;
}

/** What checks JWTs; undefined where no keys are set. Rejects with `SetupError`. */
export async function tokensOf(bindings: TokenBindings, { fleets, clock, log }: Parts): Promise<TokenVerifier | undefined> {
  const [url, text] = [given(bindings.BOOTPLANE_JWKS_URL), given(bindings.BOOTPLANE_JWKS)];
  const [issuer, audience] = [given(bindings.BOOTPLANE_JWT_ISSUER), given(bindings.BOOTPLANE_JWT_AUDIENCE)];
  const set = [...(url === undefined ? [] : ['BOOTPLANE_JWKS_URL']), ...(text === undefined ? [] : ['BOOTPLANE_JWKS'])];
  const wrong = wrongJwtSettings({ sources: ['BOOTPLANE_JWKS_URL', 'BOOTPLANE_JWKS'], set, issuer, audience });
  if (wrong.length > 0) throw new SetupError(wrong.join('; '));
  const [skew_seconds, takesExposed] = [skewOf(bindings), isInsecure(bindings)];
  if (issuer === undefined || audience === undefined) return undefined;
  const keys = text === undefined ? urlKeys(url ?? '', { clock, log }) : await textKeys(text, { clock, log });
  return createTokenVerifier({ keys, fleets, clock, issuer, audience, skew_seconds, ...(takesExposed ? {} : { isExposed }) });
}

function urlKeys(url: string, ports: Pick<Parts, 'clock' | 'log'>) {
  const why = whyNotJwksUrl(url);
  if (why !== undefined) throw new SetupError(`BOOTPLANE_JWKS_URL ${why}`);
  return createUrlJwks({ url, fetch: (request) => fetch(request), ...ports });
}

/** What never changes is looked at before anything needs it. */
async function textKeys(text: string, ports: Pick<Parts, 'clock' | 'log'>) {
  await readKeySet(text).catch((error: unknown) => {
    throw new SetupError(`the keys in BOOTPLANE_JWKS ${error instanceof Error ? error.message : String(error)}`);
  });
  return createTextJwks({ text: fixedText('BOOTPLANE_JWKS', text), ...ports });
}

function skewOf({ BOOTPLANE_JWT_SKEW_SECONDS: skew = DEFAULT_SKEW_SECONDS }: TokenBindings): number {
  const seconds = skew === '' ? DEFAULT_SKEW_SECONDS : Number(skew);
  if (Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_SKEW_SECONDS) return seconds;
  throw new SetupError(`BOOTPLANE_JWT_SKEW_SECONDS is "${skew}": use a whole number from 0 to ${MAX_SKEW_SECONDS}`);
}

function isInsecure({ BOOTPLANE_INSECURE_HTTP: value = '' }: TokenBindings): boolean {
  if (value === '' || value === 'on' || value === 'off') return value === 'on';
  throw new SetupError(`BOOTPLANE_INSECURE_HTTP is "${value}": use on or off`);
}

/** The address of the request says how it came; `wrangler dev` is asked on the machine that it runs on. */
function isExposed({ url }: Request): boolean {
  return url.startsWith('http:') && !isLoopback(url);
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
