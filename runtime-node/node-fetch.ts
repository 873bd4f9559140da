import type { Fetch } from '../shared/client.ts';

/**
 * The fetch of Node. It forgets the signal of a request that was garbage-collected, and an open stream then survives its
 * abort and keeps the process from ending: so each request stays reachable as long as the body of its answer.
 */
export function createNodeFetch(): Fetch {
  const requests = new WeakMap<ReadableStream, Request>();
  return async (request) => {
    const response = await fetch(request);
    if (response.body !== null) requests.set(response.body, request);
    return response;
  };
}
