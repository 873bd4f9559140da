/** The Web Crypto calls under way: they run outside the event loop, so a simulated clock has to wait for them. */
let pending = 0;

const COUNTED = [
  'digest',
  'sign',
  'verify',
  'importKey',
  'exportKey',
  'generateKey',
  'deriveBits',
  'deriveKey',
  'encrypt',
  'decrypt',
] as const;

for (const name of COUNTED) {
  const original = crypto.subtle[name].bind(crypto.subtle) as (...args: unknown[]) => Promise<unknown>;
  const counted = (...args: unknown[]) => {
    pending += 1;
    return original(...args).finally(() => {
      pending -= 1;
    });
  };
  Object.defineProperty(crypto.subtle, name, { value: counted, configurable: true });
}

/** How many calls to the file system are under way. The Workers runtime has none. */
function filesAtWork(): number {
  const resources = globalThis.process?.getActiveResourcesInfo?.() ?? [];
  return resources.filter((name: string) => name.startsWith('FSReq')).length;
}

const isQuiet = () => pending === 0 && filesAtWork() === 0;

/** Resolves when nothing runs any more that does not wait for the clock: what follows from promises, hashes and files. */
export async function drain(): Promise<void> {
  for (let quiet = 0; quiet < 10; quiet = isQuiet() ? quiet + 1 : 0) await new Promise((resolve) => setImmediate(resolve));
}
