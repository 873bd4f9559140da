import { spawn } from 'node:child_process';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect } from 'node:net';
import type { HealthCheck, HealthProbe, ProbeOptions, ProbeResult } from '../../shared/ports/health-probe.ts';
import { placeCommand, type ServicePlaceOptions } from './child-process-place.ts';

/** Only the end of a command's output is of interest, bytes. */
const MAX_OUTPUT = 4_096;
const MAX_DETAIL = 200;

/**
 * Checks of services. http: an answer with status 2xx or 3xx, on a new connection each time; a
 * redirect is an answer and is not followed. tcp: a connection is accepted. command: exit code 0, run
 * as the user and in the folder of the service; when the time is up its whole group is killed.
 */
export function createHealthProbe(options: ServicePlaceOptions): HealthProbe {
  return {
    async probe(check, how) {
      try {
        return await runCheck(options, check, how);
      } catch (error) {
        return unhealthy(describe(error));
      }
    },
  };
}

function runCheck(options: ServicePlaceOptions, check: HealthCheck, how: ProbeOptions): Promise<ProbeResult> {
  if ('http' in check) return probeHttp(new URL(check.http), how.timeout_ms);
  if ('tcp' in check) return probeTcp(check.tcp, how.timeout_ms);
  return probeCommand(options, check.command, how);
}

function probeHttp(url: URL, timeout_ms: number): Promise<ProbeResult> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve) => {
    const call = request(url, { agent: false, headers: { connection: 'close', 'user-agent': 'bootplane-health' } });
    const timer = setTimeout(() => end(unhealthy(tooLate(timeout_ms))), timeout_ms);
    const end = (result: ProbeResult) => {
      clearTimeout(timer);
      resolve(result);
      call.destroy();
    };
    call.once('response', ({ statusCode = 0 }) => end({ healthy: statusCode >= 200 && statusCode < 400, detail: `HTTP ${statusCode}` }));
    call.on('error', (error) => end(unhealthy(describe(error))));
    call.end();
  });
}

function probeTcp(address: string, timeout_ms: number): Promise<ProbeResult> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => end(unhealthy(tooLate(timeout_ms))), timeout_ms);
    const end = (result: ProbeResult) => {
      clearTimeout(timer);
      resolve(result);
      socket.destroy();
    };
    socket.once('connect', () => end({ healthy: true, detail: `${address} accepts connections` }));
    socket.on('error', (error) => end(unhealthy(describe(error))));
  });
}

async function probeCommand(options: ServicePlaceOptions, command: readonly string[], how: ProbeOptions): Promise<ProbeResult> {
  const { service, env, cwd, user } = how;
  const place = await placeCommand(options, {
    name: service,
    command,
    env,
    ...(cwd !== undefined && { cwd }),
    ...(user !== undefined && { user }),
  });
  return new Promise((resolve) => {
    const child = spawn(place.program, place.args, { ...place.options, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let late = false;
    const keep = (text: string) => {
      output = `${output}${text}`.slice(-MAX_OUTPUT);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    const timer = setTimeout(() => {
      late = true;
      killGroup(child.pid);
      end(unhealthy(`${tooLate(how.timeout_ms)}${lastLine(output, ': ')}`));
    }, how.timeout_ms);
    const end = (result: ProbeResult) => {
      clearTimeout(timer);
      resolve(result);
      child.stdout.destroy();
      child.stderr.destroy();
    };
    child.once('error', (error) => end(unhealthy(describe(error))));
    // A child that the command left in the background may hold the pipes open: its exit is the answer, not their end.
    child.once('exit', (code, signal) => {
      if (late) return;
      setImmediate(() => {
        killGroup(child.pid);
        const how_it_ended = signal === null ? `exit code ${code}` : `ended by ${signal}`;
        end({ healthy: code === 0, detail: lastLine(output) || how_it_ended });
      });
    });
  });
}

/** Also what the command has left behind. The group is gone when there is nothing. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nothing left.
  }
}

function lastLine(output: string, before = ''): string {
  const line = output.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? '' : `${before}${line.slice(0, MAX_DETAIL)}`;
}

function tooLate(timeout_ms: number): string {
  return `no answer within ${timeout_ms} ms`;
}

function unhealthy(detail: string): ProbeResult {
  return { healthy: false, detail };
}

/** Node names the several addresses of one host in `errors` and leaves the message empty. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join('; ');
  return error instanceof Error ? error.message || error.name : String(error);
}
