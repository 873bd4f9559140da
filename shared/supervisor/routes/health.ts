import * as z from 'zod';
import type { BacklogStatus } from '../../contract/backlog.ts';
import { Health } from '../../contract/status.ts';
import { DatabaseError } from '../../ports/database.ts';
import { type Caller, isAdmin } from '../auth.ts';
import type { Context } from '../context.ts';
import { renderLabels, renderMetric } from '../metrics.ts';
import { ProblemError } from '../problem.ts';
import { json, openRoute, type Route, route } from '../route.ts';
import { missingMigrations } from '../store/migrations.ts';

const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';

export function healthRoutes(context: Context): Route[] {
  return [healthz(context), readyz(context), metrics(context)];
}

function healthz({ options }: Context): Route {
  return openRoute({
    method: 'get',
    path: '/healthz',
    tag: 'health',
    summary: 'Whether it is well; with a credential, why not, with the last apply of each component',
    answers: { 200: { description: 'Without a credential `status` alone.', schema: Health } },
    async handle({ caller }) {
      const health = options.health === undefined ? { status: 'ok' as const } : await options.health();
      const { version } = options;
      return json(caller === undefined ? { status: health.status } : { fleet: caller.fleet, scope: caller.scope, version, ...health });
    },
  });
}

function readyz({ options }: Context): Route {
  return openRoute({
    method: 'get',
    path: '/readyz',
    tag: 'health',
    summary: 'Whether it can serve: its database answers and has every migration',
    answers: { 200: { description: 'It can.', schema: z.object({ status: z.literal('ok') }) } },
    async handle() {
      const missing = await missingMigrations(options.database).catch((error: unknown) => {
        if (error instanceof DatabaseError) throw new ProblemError('unavailable', `the database does not answer (${error.kind})`);
        throw error;
      });
      if (missing.length > 0) throw new ProblemError('unavailable', `${MISSING}: ${missing.join(', ')}`);
      return json({ status: 'ok' });
    },
  });
}

/** What the detail of the problem begins with when the database is older than this version. */
const MISSING = 'the database lacks migrations';

function metrics(context: Context): Route {
  return route('viewer', {
    method: 'get',
    path: '/metrics',
    tag: 'health',
    summary:
      'Counters of this process and gauges of the fleet, for Prometheus. Where fleets are made, the counters are for an admin and the fleet of the settings',
    answers: { 200: { description: 'Text format 0.0.4.', schema: z.string(), content_type: PROMETHEUS } },
    async handle({ caller }) {
      const counters = maySeeCounters(context, caller) ? context.metrics.render() : '';
      const body = (await gauges(context, caller.fleet)) + counters;
      return new Response(body, { headers: { 'content-type': PROMETHEUS } });
    },
  });
}

/**
 * They count the calls of all fleets, and what another fleet does is nobody's business. The fleet of the settings is of
 * who runs this Supervisor.
 */
function maySeeCounters({ options: { registry } }: Context, caller: Caller): boolean {
  return registry === undefined || registry.isOwn(caller.fleet) || isAdmin(caller);
}

const PRESENT = 'Whether the external of a component answers this node.';
const BACKLOG = 'What this node took for an external that was away, by how far it has gone.';

type Series = readonly [Record<string, string>, number];

function presentSeries([component, { presence }]: readonly [string, BacklogStatus]): Series {
  return [{ component }, presence === 'away' ? 0 : 1];
}

function backlogSeries([component, { waiting, forwarded, conflicts }]: readonly [string, BacklogStatus]): Series[] {
  return Object.entries({ waiting, forwarded, conflict: conflicts }).map(([state, value]) => [{ component, state }, value]);
}

async function gauges({ state, options }: Context, fleet: string): Promise<string> {
  const { nodes, leases, generations } = await state.ofFleet(fleet);
  // A partial record's entries are those of its keys, which Object.entries forgets.
  const backlog = Object.entries((await options.health?.())?.backlog ?? {}) as [string, BacklogStatus][];
  const gauge = (name: string, help: string, series: readonly (readonly [Record<string, string>, number])[]) =>
    renderMetric(
      name,
      'gauge',
      help,
      series.map(([labels, value]) => [renderLabels(labels), value]),
    );
  return [
    gauge('bootplane_info', 'The version that runs.', [[{ version: options.version, fleet }, 1]]),
    gauge(
      'bootplane_nodes',
      'Registered nodes by liveness.',
      Object.entries(nodes).map(([liveness, value]) => [{ liveness }, value]),
    ),
    gauge(
      'bootplane_leader_epoch',
      'The epoch of each site.',
      leases.map(({ site, epoch }) => [{ site }, epoch]),
    ),
    gauge(
      'bootplane_lease_remaining_seconds',
      "What is left of each site's lease; 0 while nobody leads.",
      leases.map(({ site, expires_in_ms }) => [{ site }, Math.max(0, expires_in_ms) / 1000]),
    ),
    gauge(
      'bootplane_desired_generation',
      'The published generation of each document.',
      generations.map(({ kind, generation }) => [{ kind }, generation]),
    ),
    ...(backlog.length === 0 ? [] : [gauge('bootplane_external_present', PRESENT, backlog.map(presentSeries))]),
    ...(backlog.length === 0 ? [] : [gauge('bootplane_backlog', BACKLOG, backlog.flatMap(backlogSeries))]),
  ].join('');
}
