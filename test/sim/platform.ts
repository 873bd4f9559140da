import { LightAbortController, LightAbortSignal } from './light-abort.ts';
import { LightRequest, LightResponse } from './light-fetch.ts';
import { LightHeaders } from './light-headers.ts';
import { installSyncCrypto } from './sync-crypto.ts';

/**
 * Puts in the place of what Node gives to every program what simulated worlds run on: cryptography without threads, and
 * messages and aborts that cost little and depend on nothing but what was called. To be called before a world is made.
 */
export function installPlatform(): void {
  installSyncCrypto();
  const classes = {
    AbortController: LightAbortController,
    AbortSignal: LightAbortSignal,
    Headers: LightHeaders,
    Request: LightRequest,
    Response: LightResponse,
  };
  for (const [name, value] of Object.entries(classes))
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
