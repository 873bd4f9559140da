import manifest from '../package.json' with { type: 'json' };
import { PROBLEM_JSON, problem } from '../shared/contract/problem.ts';
import type { Supervisor } from '../shared/supervisor/app.ts';
import { workerLog } from './adapters/log.ts';
import { type Bindings, compose, SetupError } from './compose.ts';

/** One Supervisor for each set of bindings; an isolate is given the same object each time. */
const supervisors = new WeakMap<Bindings, Promise<Supervisor>>();

function supervisorOf(bindings: Bindings): Promise<Supervisor> {
  const known = supervisors.get(bindings);
  if (known !== undefined) return known;
  const made = compose(bindings, manifest.version);
  supervisors.set(bindings, made);
  // The next request finds out whether what kept it from starting is still there.
  made.catch(() => supervisors.delete(bindings));
  return made;
}

export default {
  async fetch(request, bindings): Promise<Response> {
    try {
      const supervisor = await supervisorOf(bindings);
      return isForPeople(request) ? about(request) : await supervisor.fetch(request);
    } catch (error) {
      return setupProblem(error);
    }
  },
  /** Rejects when a part of it failed, so that the run is shown as failed. */
  async scheduled({ scheduledTime }, bindings): Promise<void> {
    // Every ten minutes, by wrangler.toml: what reads each node, or asks for each fleet, runs with the first of an hour.
    const isFirst = new Date(scheduledTime).getUTCMinutes() < 10;
    await (await supervisorOf(bindings)).sweep(isFirst ? 'all' : 'often');
  },
} satisfies ExportedHandler<Bindings>;

function isForPeople({ method, url }: Request): boolean {
  return (method === 'GET' || method === 'HEAD') && new URL(url).pathname === '/';
}

/** For whoever opens the address to see what it is. Nothing in it tells of a fleet. */
function about({ method, url }: Request): Response {
  const { origin } = new URL(url);
  const text = `This is a bootplane control URL.

Start a node with it:  bootplane up --cloud-url ${origin}
Check it:              bootplane doctor --cloud ${origin}
Is it up:              ${origin}/healthz and ${origin}/readyz
The API:               ${origin}/v1/openapi.json (with a credential)
How to run one:        docs/deploy.md of the project
`;
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' };
  return new Response(method === 'HEAD' ? null : text, { headers });
}

/** What is wrong with the setup holds no secret, and whoever calls may be the one who can mend it. */
function setupProblem(error: unknown): Response {
  const reason = error instanceof Error ? error.message : String(error);
  workerLog().error('the Worker is not set up', { error: reason });
  const detail = error instanceof SetupError ? reason : 'the Worker could not start; its log says why';
  const body = problem('unavailable', detail);
  return new Response(JSON.stringify(body), { status: body.status, headers: { 'content-type': PROBLEM_JSON } });
}
