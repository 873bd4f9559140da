import type { Fetch } from '../shared/client.ts';
import { isLoopback } from '../shared/contract/loopback.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Log } from '../shared/ports/log.ts';
import type { Keyring, TokenVerifier } from '../shared/supervisor/auth.ts';
import { watchedFile } from './adapters/watched-file.ts';
import type { Config } from './config.ts';

/** What says whether others can read what comes in. */
type Wire = 'host' | 'tls_cert' | 'insecure_http';

export interface JwtParts {
  readonly config: Pick<Config, 'jwks_url' | 'jwks_file' | 'jwt_issuer' | 'jwt_audience' | 'jwt_skew_seconds' | Wire>;
  readonly fleets: Keyring;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly log: Log;
}

/** What checks JWTs, as the settings say; undefined where they name no keys. A node without it does not load the library. */
export async function openTokenVerifier({ config, fleets, fetch, clock, log }: JwtParts): Promise<TokenVerifier | undefined> {
  const { jwks_url: url, jwks_file: file, jwt_issuer: issuer, jwt_audience: audience, jwt_skew_seconds: skew_seconds } = config;
  if (issuer === undefined || audience === undefined || (url === undefined && file === undefined)) return undefined;
  tellWire(config, log);
  const [{ createTokenVerifier }, { createUrlJwks }, { createTextJwks }] = await Promise.all([
    import('../shared/supervisor/tokens/verifier.ts'),
    import('../shared/supervisor/tokens/jwks-url.ts'),
    import('../shared/supervisor/tokens/jwks-text.ts'),
  ]);
  const keys =
    file === undefined ? createUrlJwks({ url: url ?? '', fetch, clock, log }) : createTextJwks({ text: watchedFile(file), clock, log });
  return createTokenVerifier({ keys, fleets, clock, issuer, audience, skew_seconds });
}

/** A person who tries a JWT from another machine reads here why it is refused, or what it risks. */
function tellWire({ host, tls_cert, insecure_http }: Pick<Config, Wire>, log: Log): void {
  if (tls_cert !== undefined || isLoopback(`http://${host.includes(':') ? `[${host}]` : host}`)) return;
  if (insecure_http)
    log.warn('JWTs are taken over plain http, where others on the network can read and use them (BOOTPLANE_INSECURE_HTTP)');
  else log.info('JWTs are taken from this machine only: from others over https, with BOOTPLANE_TLS_CERT or a proxy in front of this node');
}
