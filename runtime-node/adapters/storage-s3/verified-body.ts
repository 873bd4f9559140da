import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { NoAnswer } from './failure.ts';
import type { Wire } from './wire.ts';

/** What is known of the bytes to come. */
export interface Expected {
  /** Bytes of this answer. */
  readonly length: number;
  /** Of them all; absent for a part of an object and for one that somebody else stored. */
  readonly sha256: string | undefined;
  /** Bucket and key, for messages. */
  readonly name: string;
}

/**
 * The bytes of an answer. The last of them leave only after the checksum of the whole was right, so nobody takes a
 * damaged object for a good one; what breaks off or is damaged ends the stream with an error.
 */
export function verifiedBody(
  wire: Wire,
  answer: IncomingMessage,
  expected: Expected,
  toError: (cause: unknown) => Error,
): ReadableStream<Uint8Array> {
  const chunks = answer[Symbol.asyncIterator]();
  const hash = expected.sha256 === undefined ? undefined : createHash('sha256');
  let received = 0;
  const next = async (): Promise<Uint8Array | undefined> => {
    const chunk = await wire.next(answer, chunks);
    received += chunk?.length ?? 0;
    if (chunk !== undefined) hash?.update(chunk);
    if (chunk === undefined && received < expected.length)
      throw new NoAnswer(`the connection broke after ${received} of ${expected.length} bytes`);
    if (received === expected.length && hash !== undefined) check(hash.copy().digest('hex'), expected);
    return chunk;
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const chunk = expected.length === 0 ? undefined : await next();
          if (chunk !== undefined) controller.enqueue(chunk);
          if (chunk === undefined || received >= expected.length) {
            controller.close();
            answer.resume();
          }
        } catch (error) {
          answer.destroy();
          throw toError(error);
        }
      },
      cancel: () => {
        answer.destroy();
      },
    },
    { highWaterMark: 0 },
  );
}

function check(found: string, { sha256, name }: Expected): void {
  if (found === sha256) return;
  throw new StorageError(
    'corrupt',
    `${name} is damaged in the store: its bytes have SHA-256 ${found}, not ${sha256}, with which they were stored; store the object again`,
  );
}
