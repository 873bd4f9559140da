import { resolve } from 'node:path';

/** A plan with the example service on a port of its own. On a machine that is busy with other tests it may answer late. */
export function helloService(port: number, version = '1.0.0') {
  return {
    name: 'hello',
    version,
    command: ['node', resolve('docs/examples/service/server.js')],
    env: { PORT: String(port) },
    health: { http: `http://127.0.0.1:${port}/healthz`, interval_seconds: 1, timeout_seconds: 30, grace_seconds: 120 },
    stop_grace_seconds: 5,
  };
}
