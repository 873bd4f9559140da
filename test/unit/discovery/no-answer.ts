/** What fetch rejects with where the machine is there and its process is not. */
export function refused(host: string): Error {
  return new TypeError('fetch failed', { cause: Object.assign(new Error(`connect ECONNREFUSED ${host}:7420`), { code: 'ECONNREFUSED' }) });
}

/** Nothing ever comes back. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(new DOMException('aborted', 'AbortError'));
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}
