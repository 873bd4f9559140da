import type { Clock } from '../../../shared/ports/clock.ts';
import { StorageError, type StorageErrorKind } from '../../../shared/ports/object-storage.ts';
import { codeOf, messageOf } from '../../thrown.ts';
import { header } from './answers.ts';
import type { Endpoint } from './endpoint.ts';
import { NoAnswer, S3Failure } from './failure.ts';
import { describeBytes, describeSite } from './strangers.ts';

/** What an error message may tell about the store. */
export interface Place {
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  /** As configured; absent where it is found out. */
  readonly region: string | undefined;
}

/**
 * Turns what a request came to into the port's error. `doing` completes the sentence "could not …". Codes are those of
 * the S3 API reference ("Error responses") and what Ceph RGW and MinIO add to them.
 */
export function toStorageError(cause: unknown, doing: string, place: Place): StorageError {
  if (cause instanceof StorageError) return cause;
  const [kind, reason] = cause instanceof S3Failure ? refusal(cause, place) : fault(cause, place);
  return new StorageError(kind, `could not ${doing}: ${reason}`, { cause });
}

type Verdict = readonly [StorageErrorKind, string];

const KINDS: Readonly<Record<string, StorageErrorKind>> = {
  NoSuchBucket: 'no_such_bucket',
  NoSuchKey: 'no_such_key',
  NoSuchVersion: 'no_such_key',
  PreconditionFailed: 'already_exists',
  BadDigest: 'checksum_mismatch',
  InvalidDigest: 'checksum_mismatch',
  XAmzContentSHA256Mismatch: 'checksum_mismatch',
  InvalidRange: 'range_not_satisfiable',
  KeyTooLong: 'bad_name',
  KeyTooLongError: 'bad_name',
  InvalidBucketName: 'bad_name',
  InvalidObjectName: 'bad_name',
  InvalidURI: 'bad_name',
  XMinioInvalidObjectName: 'bad_name',
  XMinioInvalidResourceName: 'bad_name',
  QuotaExceeded: 'full',
  InsufficientStorage: 'full',
  XMinioStorageFull: 'full',
  XMinioAdminBucketQuotaExceeded: 'full',
  AccessDenied: 'unauthorized',
  Forbidden: 'unauthorized',
  AccountProblem: 'unauthorized',
  AllAccessDisabled: 'unauthorized',
  ExpiredToken: 'unauthorized',
  InvalidToken: 'unauthorized',
  InvalidAccessKeyId: 'unauthorized',
  SignatureDoesNotMatch: 'unauthorized',
  AuthorizationHeaderMalformed: 'unauthorized',
  RequestTimeTooSkewed: 'unauthorized',
  UserSuspended: 'unauthorized',
  BucketAlreadyExists: 'unauthorized',
  SlowDown: 'backend_away',
  InternalError: 'backend_away',
  ServiceUnavailable: 'backend_away',
  RequestTimeout: 'backend_away',
};

function refusal(failure: S3Failure, place: Place): Verdict {
  if (failure.sample !== undefined) {
    const gateway = [502, 503, 504].includes(failure.status);
    return [gateway ? 'backend_away' : 'failed', describeSite(failure, place.endpoint.origin)];
  }
  const kind = KINDS[failure.code] ?? (failure.status >= 500 && failure.status !== 501 ? 'backend_away' : 'failed');
  return [kind, advice(failure, place) ?? plain(failure)];
}

function plain({ code, status, message }: S3Failure): string {
  return message === '' ? `the store says ${code} (HTTP ${status})` : `the store says ${code}: ${message}`;
}

function advice(failure: S3Failure, place: Place): string | undefined {
  const { origin } = place.endpoint;
  switch (failure.code) {
    case 'NoSuchBucket':
      return 'there is no such bucket; ensureBucket makes it';
    case 'NoSuchKey':
      return 'there is no such object';
    case 'NoSuchVersion':
      return 'there is no such version of the object';
    case 'PreconditionFailed':
      return 'the key exists already and was left as it is';
    case 'InvalidAccessKeyId':
      return `${origin} does not know the access key: set MINIO_ACCESS_KEY to one of its users`;
    case 'SignatureDoesNotMatch':
      return `${origin} knows the access key, but the secret key is not the one that belongs to it: set MINIO_SECRET_KEY (a proxy that changes the Host header looks the same)`;
    case 'AccessDenied':
    case 'Forbidden':
      return `${origin} knows the access key but does not allow it this: widen the policy of its user, or use the keys of another`;
    case 'BucketAlreadyExists':
      return 'the name belongs to a bucket of another account: choose another';
    case 'RequestTimeTooSkewed':
      return skew(failure, place);
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
    case 'PermanentRedirect':
    case 'TemporaryRedirect':
      return wrongRegion(failure, place);
    case 'NotImplemented':
      return 'this store has no such function (NotImplemented)';
    default:
      return undefined;
  }
}

function skew({ headers }: S3Failure, { clock, endpoint }: Place): string {
  const ours = clock.now();
  const theirs = Date.parse(header(headers, 'date') ?? '');
  const rule = 'set the clock of the one that is wrong (NTP): requests are refused when they differ by more than 15 minutes';
  if (Number.isNaN(theirs)) return `the clock of this machine and that of ${endpoint.origin} differ too much: ${rule}`;
  const minutes = Math.round(Math.abs(ours - theirs) / 60_000);
  const side = ours > theirs ? 'ahead of' : 'behind';
  return `the clock of this machine is ${minutes} minutes ${side} that of ${endpoint.origin} (here ${iso(ours)}, there ${iso(theirs)}): ${rule}`;
}

function iso(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function wrongRegion(failure: S3Failure, { endpoint, region }: Place): string {
  const used = region === undefined ? 'no region is configured' : `the configured region is ${region}`;
  if (failure.region !== undefined && failure.region !== region)
    return `${endpoint.origin} is, or keeps this bucket, in the region ${failure.region}, and ${used}: set MINIO_REGION=${failure.region}`;
  if (failure.endpoint !== undefined) return `the bucket is at ${failure.endpoint}: set MINIO_ENDPOINT to it (${used})`;
  return `${plain(failure)} (${used}; see MINIO_REGION and MINIO_ENDPOINT)`;
}

/** No answer came, or none that is HTTP. */
function fault(cause: unknown, { endpoint }: Place): Verdict {
  const { origin, host, port } = endpoint;
  const code = codeOf(cause);
  if (cause instanceof NoAnswer) return ['backend_away', `${origin}: ${cause.message}`];
  if (code === 'ECONNREFUSED')
    return ['backend_away', `nothing listens at ${host} port ${port}: start the store, or set MINIO_ENDPOINT (${code})`];
  if (code === 'ENOTFOUND')
    return ['backend_away', `the host name ${host} is not known here: check MINIO_ENDPOINT and the name service (${code})`];
  if (code === 'EAI_AGAIN') return ['backend_away', `the name service does not answer for ${host} (${code})`];
  const strange = speaks(cause);
  if (strange !== undefined) return ['failed', `${strange} listens at ${host} port ${port}, no S3 store: set MINIO_ENDPOINT`];
  if (TLS_WRONG.has(code))
    return ['failed', `${origin} does not speak TLS: set MINIO_ENDPOINT to http://${host}:${port}, or turn TLS on there (${code})`];
  const certificate = certificateAdvice(code, host);
  if (certificate !== undefined) return ['unauthorized', `the certificate of ${origin} is not accepted: ${certificate} (${code})`];
  if (code.startsWith('HPE_')) return ['failed', `what listens at ${host} port ${port} speaks no HTTP: set MINIO_ENDPOINT (${code})`];
  const words = messageOf(cause);
  if (NETWORK.has(code)) return ['backend_away', `the connection to ${origin} failed: ${words}`];
  return ['failed', words.includes(code) ? words : `${words} (${code})`];
}

function speaks(cause: unknown): string | undefined {
  const packet = cause instanceof Error && 'rawPacket' in cause ? cause.rawPacket : undefined;
  return packet instanceof Uint8Array ? describeBytes(packet) : undefined;
}

const TLS_WRONG: ReadonlySet<string> = new Set(['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG']);

/** The way to the store broke: another attempt may find it whole. */
export const NETWORK: ReadonlySet<string> = new Set([
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'NO_ANSWER',
]);

function certificateAdvice(code: string, host: string): string | undefined {
  switch (code) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return 'nobody that is trusted here signed it: give the certificate of its authority (NODE_EXTRA_CA_CERTS names a PEM file)';
    case 'CERT_HAS_EXPIRED':
      return 'it has expired: renew it there (or set the clock here)';
    case 'CERT_NOT_YET_VALID':
      return 'it is not valid yet: set the clock here';
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `it is not for ${host}: use a name that it holds in MINIO_ENDPOINT, or renew it with this one`;
    default:
      return code.startsWith('CERT_') || code.startsWith('ERR_TLS_') ? 'TLS refuses it' : undefined;
  }
}
