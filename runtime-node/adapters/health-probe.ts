import { spawn } from 'node:child_process';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect } from 'node:net';
import type { HealthCheck, HealthProbe, ProbeOptions, ProbeResult } from '../../shared/ports/health-probe.ts';
import { encodeProbeMark, MARK_NAME, nameDataDir } from './child-process-mark.ts';
import { placeCommand, type ServicePlaceOptions } from './child-process-place.ts';
import { openProcessTable } from './child-process-table.ts';

/** Only the end of a command's output is of interest, bytes. */
const MAX_OUTPUT = 4_096;
const MAX_DETAIL = 200;

export interface NodeHealthProbe extends HealthProbe {
  /** Ends the checks under way, with what they have started. The node would wait for them otherwise, or leave them behind. */
  close(): Promise<void>;
}

/** What a command check needs of the node. */
interface CommandOptions extends ServicePlaceOptions {
  readonly mark: string;
  /** Resolves when nothing is left of the checks of an earlier process. */
  readonly cleared: Promise<void>;
}

/**
 * Checks of services. http: an answer with status 2xx or 3xx, on a new connection each time; a
 * redirect is an answer and is not followed. tcp: a connection is accepted. command: exit code 0, run
 * as the user and in the folder of the service; when the time is up its whole group is killed. What a node that was killed has left
 * of them is killed when the next one makes its probe, where the platform shows marks.
 */
export function createHealthProbe(place: ServicePlaceOptions): NodeHealthProbe {
  const closing = new AbortController();
  const mark = encodeProbeMark(nameDataDir(place.data_dir));
  const options = { ...place, mark, cleared: killLeft(mark) };
  return {
    async probe(check, how) {
      try {
        return await runCheck(options, check, how, closing.signal);
      } catch (error) {
        return unhealthy(describe(error));
      }
    },
    close: async () => closing.abort(),
  };
}

function runCheck(options: CommandOptions, check: HealthCheck, how: ProbeOptions, signal: AbortSignal): Promise<ProbeResult> {
  const limit = { timeout_ms: how.timeout_ms, signal };
  if ('http' in check) return probeHttp(new URL(check.http), limit);
  if ('tcp' in check) return probeTcp(check.tcp, limit);
  return probeCommand(options, check.command, how, limit);
}

interface Limit {
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
}

/** Calls `end` with the reason when the time is up or the probe is closed. Returns the way to call it off. */
function endBy({ timeout_ms, signal }: Limit, end: (why: string) => void): () => void {
  const close = () => end('the node stops');
  const timer = setTimeout(() => end(`no answer within ${timeout_ms} ms`), timeout_ms);
  signal.addEventListener('abort', close, { once: true });
  if (signal.aborted) queueMicrotask(close);
  return () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', close);
  };
}

function probeHttp(url: URL, limit: Limit): Promise<ProbeResult> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve) => {
    const call = request(url, { agent: false, headers: { connection: 'close', 'user-agent': 'bootplane-health' } });
    const callOff = endBy(limit, (why) => end(unhealthy(why)));
    const end = (result: ProbeResult) => {
      callOff();
      resolve(result);
      call.destroy();
    };
    call.once('response', ({ statusCode = 0 }) => end({ healthy: statusCode >= 200 && statusCode < 400, detail: `HTTP ${statusCode}` }));
    call.on('error', (error) => end(unhealthy(describe(error))));
    call.end();
  });
}

function probeTcp(address: string, limit: Limit): Promise<ProbeResult> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const callOff = endBy(limit, (why) => end(unhealthy(why)));
    const end = (result: ProbeResult) => {
      callOff();
      resolve(result);
      socket.destroy();
    };
    socket.once('connect', () => end({ healthy: true, detail: `${address} accepts connections` }));
    socket.on('error', (error) => end(unhealthy(describe(error))));
  });
}

async function probeCommand(options: CommandOptions, command: readonly string[], how: ProbeOptions, limit: Limit): Promise<ProbeResult> {
  const { service, env, cwd, user } = how;
  const place = await placeCommand(options, {
    name: service,
    command,
    env,
    ...(cwd !== undefined && { cwd }),
    ...(user !== undefined && { user }),
  });
  await options.cleared;
  const marked = { ...place.options, env: { ...place.options.env, [MARK_NAME]: options.mark } };
  return new Promise((resolve) => {
    const child = spawn(place.program, place.args, { ...marked, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let late = false;
    const keep = (text: string) => {
      output = `${output}${text}`.slice(-MAX_OUTPUT);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    const callOff = endBy(limit, (why) => {
      late = true;
      killGroup(child.pid);
      end(unhealthy(`${why}${lastLine(output, ': ')}`));
    });
    const end = (result: ProbeResult) => {
      callOff();
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

/** Never rejects: what can't be found or killed ends by itself or stays as it is, and no service suffers from it. */
async function killLeft(mark: string): Promise<void> {
  const table = openProcessTable();
  const entries = table.shows_marks ? await table.list().catch(() => []) : [];
  for (const { pid } of entries.filter((entry) => entry.mark === mark)) kill(pid);
}

/** Also what the command has left behind. The group is gone when there is nothing. */
function killGroup(pid: number | undefined): void {
  if (pid !== undefined) kill(-pid);
}

/** A process, or with a negative number its group. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Nothing left.
  }
}

function lastLine(output: string, before = ''): string {
  const line = output.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? '' : `${before}${line.slice(0, MAX_DETAIL)}`;
}

function unhealthy(detail: string): ProbeResult {
  return { healthy: false, detail };
}

/** Node names the several addresses of one host in `errors` and leaves the message empty. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join('; ');
  return error instanceof Error ? error.message || error.name : String(error);
}
