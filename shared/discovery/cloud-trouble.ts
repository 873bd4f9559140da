import { ApiError } from '../client.ts';
import type { NodeContext } from './context.ts';
import { messageOf } from './json-file.ts';
import { NEW_KEY_ADVICE } from './key-advice.ts';

/**
 * While this node leads without the cloud, health says what keeps that from confirming it. That it is away is nothing to do about;
 * that it was asked and there is something to mend is told in the log, once. `before`: what health said until now.
 */
export function tellOfCloud(
  { deps, standing, traces }: Pick<NodeContext, 'deps' | 'standing' | 'traces'>,
  before = standing.waits.get('locate'),
): void {
  const cloud = traces.last?.steps.find(({ step }) => step === 'cloud');
  if (standing.located?.provisional !== true || cloud === undefined) return;
  const message = `the cloud to confirm this leader (${cloud.detail})`;
  standing.waits.set('locate', message);
  if (cloud.outcome !== 'rejected' || message === before) return;
  deps.log.warn(`the cloud does not confirm this node: ${cloud.detail}; what runs goes on`, { cloud_url: cloud.url });
}

/** A failed call in words: who refuses a credential that was good mostly has another fleet key by now. */
export function describeFailure(error: unknown): string {
  const isRefused = error instanceof ApiError && error.problem.code === 'unauthenticated' && !/\bJWT\b/.test(error.problem.detail);
  return isRefused ? `${messageOf(error)}; ${NEW_KEY_ADVICE}` : messageOf(error);
}

/** Of certificates, as OpenSSL names them (x509_vfy.h) and Node passes them on. */
const CERTIFICATE_CODES = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_|ERR_SSL_|HOSTNAME_MISMATCH|INVALID_CA)/;

/** True where somebody has answered, and TLS with him failed: waiting mends nothing. */
export function isTlsFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('code' in error && typeof error.code === 'string' && CERTIFICATE_CODES.test(error.code)) return true;
  return isTlsFailure(error.cause);
}
