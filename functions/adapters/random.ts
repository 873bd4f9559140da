import { V7Generator } from 'uuidv7';
import type { Random } from '../../shared/ports/random.ts';

/** Randomness of the platform's generator. */
export function workerRandom(): Random {
  const uint32 = () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const generator = new V7Generator({ nextUint32: uint32 });
  return {
    next: () => uint32() / 4_294_967_296,
    bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    uuid: () => generator.generateOrResetCore(Date.now(), 10_000).toString(),
  };
}
