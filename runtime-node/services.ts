/** What a service needs of its node. Published as `bootplane/services`. */
import { createServices, type Services, type ServicesOptions } from '../shared/services/index.ts';

export * from '../shared/services/index.ts';

/**
 * Connects a service to the node that started it: its address and its token are in the environment. Throws a `TypeError`
 * where they are not and none are given.
 */
export function connectServices(options: Partial<Omit<ServicesOptions, 'sleep'>> = {}): Services {
  const { url = process.env.BOOTPLANE_URL, token = process.env.BOOTPLANE_TOKEN, ...rest } = options;
  if (url === undefined || token === undefined) {
    const missing = url === undefined ? 'BOOTPLANE_URL' : 'BOOTPLANE_TOKEN';
    throw new TypeError(`${missing} is not set: a node sets it for the services that it starts; give url and token to run without one`);
  }
  return createServices({ url, token, sleep, ...rest });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal.aborted) done();
    else signal.addEventListener('abort', done);
  });
}
