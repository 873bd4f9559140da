import manifest from '../package.json' with { type: 'json' };
import { PROBLEM_JSON, problem } from '../shared/contract/problem.ts';
import type { Supervisor } from '../shared/supervisor/app.ts';
import { workerLog } from './adapters/log.ts';
import { type Bindings, compose, SetupError } from './compose.ts';

/** One Supervisor for each set of bindings; an isolate is given the same object each time. */
const supervisors = new WeakMap<Bindings, Promise<Supervisor>>();

function supervisorOf(bindings: Bindings): Promise<Supervisor> {
  const known = supervisors.get(bindings) ?? compose(bindings, manifest.version);
  supervisors.set(bindings, known);
  return known;
}

export default {
  async fetch(request, bindings): Promise<Response> {
    try {
      return await (await supervisorOf(bindings)).fetch(request);
    } catch (error) {
      return setupProblem(error);
    }
  },
  async scheduled(_event, bindings): Promise<void> {
    await (await supervisorOf(bindings)).sweep();
  },
} satisfies ExportedHandler<Bindings>;

/** What is wrong with the setup holds no secret, and whoever calls may be the one who can mend it. */
function setupProblem(error: unknown): Response {
  const reason = error instanceof Error ? error.message : String(error);
  workerLog().error('the Worker is not set up', { error: reason });
  const detail = error instanceof SetupError ? reason : 'the Worker could not start; its log says why';
  const body = problem('unavailable', detail);
  return new Response(JSON.stringify(body), { status: body.status, headers: { 'content-type': PROBLEM_JSON } });
}
