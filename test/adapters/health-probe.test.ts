import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createProcessHost } from '../../runtime-node/adapters/child-process.ts';
import { procTable } from '../../runtime-node/adapters/child-process-table.ts';
import { createHealthProbe } from '../../runtime-node/adapters/health-probe.ts';
import { createServiceLogs } from '../../runtime-node/adapters/service-logs.ts';
import type { HealthCheck, HealthProbe } from '../../shared/ports/health-probe.ts';
import { freePort } from '../support/free-port.ts';
import { recordingLog } from '../support/recording-log.ts';
import { SimulatedClock } from '../support/simulated-clock.ts';

let data_dir: string;
let prober: HealthProbe;
beforeAll(async () => {
  data_dir = await mkdtemp(join(tmpdir(), 'bootplane-probe-'));
  await chmod(data_dir, 0o711);
  prober = createHealthProbe({ data_dir });
});
afterAll(() => rm(data_dir, { recursive: true }));

const probe = (check: HealthCheck, timeout_ms = 60_000, env: Record<string, string> = {}) =>
  prober.probe(check, { timeout_ms, env, service: 'api', user: 'root' });

async function listening<T>(server: Server, use: (port: number) => Promise<T>): Promise<T> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  try {
    return await use(typeof address === 'object' && address !== null ? address.port : 0);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const overHttp = (answer: RequestListener, timeout_ms?: number) =>
  listening(createServer(answer), (port) => probe({ http: `http://127.0.0.1:${port}/health` }, timeout_ms));

describe('an http check', () => {
  test.each([
    [200, true],
    [204, true],
    [302, true],
    [404, false],
    [503, false],
  ])('status %i is healthy: %s', async (status, healthy) => {
    const result = await overHttp((_, response) => response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end());
    expect(result).toEqual({ healthy, detail: `HTTP ${status}` });
  });

  test('asks for the path of the plan on a connection of its own', async () => {
    const seen: unknown[] = [];
    await overHttp((request, response) => {
      seen.push(request.url, request.headers.connection);
      response.end();
    });
    expect(seen).toEqual(['/health', 'close']);
  });

  test('no answer in time is unhealthy and says so', async () => {
    const result = await overHttp(() => undefined, 50);
    expect(result).toEqual({ healthy: false, detail: 'no answer within 50 ms' });
  });

  test('a body that never ends does not hold it up', async () => {
    const result = await overHttp((_, response) => void response.write('…'));
    expect(result.healthy).toBe(true);
  });

  test('nobody listens: the detail names the reason', async () => {
    expect(await probe({ http: `http://127.0.0.1:${await freePort()}/` })).toMatchObject({
      healthy: false,
      detail: expect.stringContaining('ECONNREFUSED'),
    });
    expect(await probe({ http: `http://localhost:${await freePort()}/` })).toMatchObject({
      healthy: false,
      detail: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test("a url that can't be used is an unhealthy answer, not a rejection", async () => {
    expect(await probe({ http: 'http://' })).toMatchObject({ healthy: false });
  });
});

describe('a tcp check', () => {
  test('is healthy when a connection is accepted', async () => {
    const result = await listening(
      createTcpServer((socket) => socket.destroy()),
      (port) => probe({ tcp: `127.0.0.1:${port}` }),
    );
    expect(result.healthy).toBe(true);
  });

  test('is unhealthy when nobody listens, for names and IPv6 too', async () => {
    const port = await freePort();
    for (const host of ['127.0.0.1', 'localhost', '[::1]']) {
      expect(await probe({ tcp: `${host}:${port}` })).toMatchObject({
        healthy: false,
        detail: expect.stringMatching(/ECONNREFUSED|EADDRNOTAVAIL/),
      });
    }
  });
});

describe('a command check', () => {
  test('exit code 0 is healthy, with the last line of the output', async () => {
    expect(await probe({ command: ['sh', '-c', 'echo first; echo "all $WELL"; echo'] }, 60_000, { WELL: 'well' })).toEqual({
      healthy: true,
      detail: 'all well',
    });
  });

  test('another code is unhealthy', async () => {
    expect(await probe({ command: ['sh', '-c', 'echo disk full >&2; exit 2'] })).toEqual({ healthy: false, detail: 'disk full' });
    expect(await probe({ command: ['sh', '-c', 'exit 2'] })).toEqual({ healthy: false, detail: 'exit code 2' });
  });

  test('a program that is not there is unhealthy', async () => {
    expect(await probe({ command: ['no-such-program'] })).toMatchObject({
      healthy: false,
      detail: expect.stringContaining('no-such-program'),
    });
  });

  test('when the time is up its whole group is killed', async () => {
    const result = await probe({ command: ['sh', '-c', 'echo waiting; sleep 731 & sleep 732'] }, 3_000);
    expect(result).toEqual({ healthy: false, detail: 'no answer within 3000 ms: waiting' });
    expect(await sleepers(731, 732)).toBe(0);
  });

  test('what it leaves in the background neither holds it up nor stays', async () => {
    expect(await probe({ command: ['sh', '-c', 'sleep 733 & echo fine'] })).toEqual({ healthy: true, detail: 'fine' });
    expect(await sleepers(733)).toBe(0);
  });

  test('endless output is cut', async () => {
    const result = await probe({ command: ['sh', '-c', 'yes 0123456789 | head -c 3000000 | tr -d "\\n"'] });
    expect(result.healthy).toBe(true);
    expect(result.detail.length).toBe(200);
  });

  test('under way when the node stops, it is ended with what it started, and none begins afterwards', async () => {
    const closing = createHealthProbe({ data_dir });
    const how = { timeout_ms: 60_000, env: {}, service: 'api', user: 'root' };
    const silent = createTcpServer((socket) => socket.on('error', () => undefined).resume());
    await listening(silent, async (port) => {
      const checks = [{ command: ['sh', '-c', 'sleep 31004 & sleep 31005'] }, { http: `http://127.0.0.1:${port}/` }];
      const results = checks.map((check) => closing.probe(check, how));
      await expect.poll(() => running(31005)).toBe(1);
      await closing.close();
      expect((await Promise.all(results)).map(({ detail }) => detail)).toEqual(['the node stops', 'the node stops']);
      expect(await sleepers(31004, 31005)).toBe(0);
      expect(await closing.probe({ command: ['true'] }, how)).toEqual({ healthy: false, detail: 'the node stops' });
    });
  });

  test.runIf(process.platform === 'linux')(
    'left by a node that was killed, it is no copy of the service, and the next start kills it',
    async () => {
      const killed = createHealthProbe({ data_dir });
      const how = { timeout_ms: 60_000, env: {}, service: 'api', user: 'root' };
      const left = killed.probe({ command: ['sh', '-c', 'sleep 31006 & sleep 31007'] }, how);
      await expect.poll(() => running(31006, 31007)).toBe(2);
      const clock = new SimulatedClock();
      const logs = createServiceLogs({ folder: join(data_dir, 'logs'), clock, log: recordingLog() });
      expect(await createProcessHost({ data_dir, node_id: 'n1', clock, logs }).list()).toEqual([]);
      const next = createHealthProbe({ data_dir });
      expect(await next.probe({ command: ['true'] }, how)).toMatchObject({ healthy: true });
      expect(await sleepers(31006, 31007)).toBe(0);
      expect(await left).toMatchObject({ healthy: false });
    },
  );

  test('works in the folder of the service', async () => {
    const { detail } = await probe({ command: ['pwd'] });
    expect(detail.endsWith('/services/api')).toBe(true);
  });

  test.runIf(process.getuid?.() === 0)('has no more rights than the service', async () => {
    const result = await prober.probe({ command: ['id', '-un'] }, { timeout_ms: 60_000, env: {}, service: 'other' });
    expect(result).toEqual({ healthy: true, detail: 'nobody' });
  });
});

async function running(...seconds: number[]): Promise<number> {
  const processes = await procTable().list();
  return processes.filter(({ pid }) => {
    try {
      return seconds.some((one) => readFileSync(`/proc/${pid}/cmdline`, 'latin1') === `sleep\0${one}\0`);
    } catch {
      return false;
    }
  }).length;
}

/** How many such processes live some moments later: a killed one needs an instant to end. */
async function sleepers(...seconds: number[]): Promise<number> {
  const count = () => running(...seconds);
  for (let round = 0; round < 600 && (await count()) > 0; round += 1) await new Promise((resolve) => setTimeout(resolve, 50));
  return count();
}
