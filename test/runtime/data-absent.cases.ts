import { expect, it } from 'vitest';
import { call, type Start } from './harness.ts';

/** Only a node has services: a Supervisor alone, as on Workers, has no data API. */
export function noDataCases(start: Start): void {
  it('a Supervisor without a node has no data API, and takes no token of a service', async () => {
    const harness = await start();
    for (const request of ['GET /v1/objects/captures/k', 'POST /v1/messages/cameras', 'GET /v1/vectors/Frame/a']) {
      expect((await call(harness, request)).body).toMatchObject({ code: 'not_found', status: 404 });
    }
    const as = await harness.keys.serviceToken('n1', 'api');
    expect((await call(harness, 'GET /v1/nodes', { as })).body).toMatchObject({ code: 'forbidden', status: 403 });
    expect((await call(harness, 'GET /healthz', { as })).body).toEqual({ status: 'ok' });
    await harness.close();
  });
}
