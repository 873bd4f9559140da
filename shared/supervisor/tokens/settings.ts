import { isLoopback } from '../../contract/loopback.ts';

/** Seconds by which the clocks of an issuer and of a Supervisor may differ, where nothing else is set. */
export const DEFAULT_SKEW_SECONDS = 60;
/** More would make an expired token a good one. */
export const MAX_SKEW_SECONDS = 600;

/** Why keys are not read from there, or undefined. Whoever can change the keys on their way can sign tokens. */
export function whyNotJwksUrl(url: string): string | undefined {
  if (!URL.canParse(url)) return 'must be a URL, as https://id.example.com/.well-known/jwks.json';
  const { protocol, username, password } = new URL(url);
  if (username !== '' || password !== '') return 'must not hold a user name or password';
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(url))) return undefined;
  return 'must start with https:// (plain http only to this machine), since its certificate is what proves the keys';
}

export interface JwtSettings {
  /** Names of the settings that can say where the keys are. */
  readonly sources: readonly string[];
  /** Those of them that are set. */
  readonly set: readonly string[];
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
}

/** What is missing or too much, one line each. Nothing where no JWT is wanted. */
export function wrongJwtSettings({ sources, set, issuer, audience }: JwtSettings): string[] {
  const [first] = set;
  if (set.length > 1) return [`${set.join(' and ')} are both set: name one place for the keys`];
  const others = [
    ['BOOTPLANE_JWT_ISSUER', issuer, 'the "iss" of the tokens'],
    ['BOOTPLANE_JWT_AUDIENCE', audience, 'the "aud" of the tokens'],
  ] as const;
  if (first === undefined) {
    return others.flatMap(([name, value]) =>
      value === undefined ? [] : [`${name} is set without the keys that sign the tokens: set ${sources.join(' or ')}`],
    );
  }
  return others.flatMap(([name, value, what]) => (value === undefined ? [`${first} is set without ${name}: set it to ${what}`] : []));
}
