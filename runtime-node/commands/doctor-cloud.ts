import type * as z from 'zod';
import { reasonOf } from '../../shared/client.ts';
import { ArtifactList } from '../../shared/contract/artifact.ts';
import { Leader } from '../../shared/contract/leader.ts';
import { isLoopback } from '../../shared/contract/loopback.ts';
import { Problem } from '../../shared/contract/problem.ts';
import { Health } from '../../shared/contract/status.ts';
import type { Settings } from '../config.ts';
import { readOrigin } from '../settings.ts';
import { findCredential, parseJson } from './connect.ts';
import { type Finding, fail, ok, warn } from './doctor-finding.ts';
import type { Io } from './io.ts';

/** How long an answer may take, milliseconds. */
const ANSWER_WITHIN_MS = 10_000;
/** A node renews a third of a TTL before its lease lapses: slower answers than this make it miss that, milliseconds. */
const SLOW_MS = 2_000;
const CLOCK_DRIFT_MS = 30_000;
/** So often the database is asked, to tell how long it takes. */
const ROUNDS = 5;

/** What came back. `took_ms` is until the whole answer was here. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
  readonly took_ms: number;
}

type Ask = (path: string, credential?: string) => Promise<Answer>;

/**
 * Checks a cloud control URL from outside, as a node would meet it: each finding says what was found and what to do. The
 * credential is sent over https, or to this machine, and only to what answers like a Supervisor.
 */
export async function examineCloud(io: Io, settings: Settings, given: string): Promise<Finding[]> {
  const origin = readOrigin(given);
  if (typeof origin !== 'string') return [fail('address', `${given} ${origin.wrong}`, 'Give the URL that nodes are started with.')];
  const ask: Ask = (path, credential) => send(io, new URL(path, origin), credential);
  const { finding: reached, answer } = await reach(ask, origin);
  const address = checkAddress(origin);
  if (answer === undefined) return [address, reached];
  const open = [address, reached, checkSkew(io, answer), ...(await checkDatabase(ask))];
  if (address.status === 'fail') return open;
  return [...open, ...(await examineWithCredential(io, { ...settings, url: origin }, ask))];
}

function checkAddress(origin: string): Finding {
  if (origin.startsWith('https:')) return ok('address', `${origin} is https`);
  if (isLoopback(origin)) return ok('address', `${origin} is plain http inside this machine`);
  const advice = 'Use its https address: the certificate is what proves the cloud, and nodes refuse any other. No credential was sent.';
  return fail('address', `${origin} is plain http`, advice);
}

async function reach(ask: Ask, origin: string): Promise<{ finding: Finding; answer?: Answer }> {
  const name = 'reachable';
  try {
    const answer = await ask('/healthz');
    const { status, headers, body } = answer;
    if (status >= 300 && status < 400) {
      return {
        finding: fail(
          name,
          `it redirects to ${headers.get('location') ?? 'elsewhere'}`,
          'Give nodes the address that it leads to: they follow none.',
        ),
      };
    }
    const problem = problemOf(answer);
    if (problem !== undefined) {
      return {
        finding: fail(name, `it answers ${status}: ${problem.detail}`, 'Do what it says; `npx wrangler tail --env NAME` shows its log.'),
      };
    }
    if (status === 200 && Health.safeParse(body).success)
      return { answer, finding: ok(name, `${origin} answers in ${whole(answer.took_ms)} ms`) };
    return { finding: fail(name, `what answers (${status}) is no bootplane`, 'Is this the address that `wrangler deploy` printed?') };
  } catch (error) {
    return {
      finding: fail(
        name,
        `${origin} is not reached: ${reasonOf(error)}`,
        'Check the address, DNS, the certificate and the way to the internet.',
      ),
    };
  }
}

/** Without a clock that agrees, a certificate and a token look expired or not yet valid. */
function checkSkew(io: Io, { headers, took_ms }: Answer): Finding {
  const told = Date.parse(headers.get('date') ?? '');
  if (Number.isNaN(told)) return ok('clock of the cloud', 'it tells no time; leases are judged by its database alone');
  // The header is cut to the second, and was written while the answer was under way.
  const skew = io.now() - took_ms / 2 - (told + 500);
  if (Math.abs(skew) <= CLOCK_DRIFT_MS) return ok('clock of the cloud', `agrees with this machine's within ${CLOCK_DRIFT_MS / 1000} s`);
  const detail = `this machine is ${Math.round(Math.abs(skew) / 1000)} s ${skew > 0 ? 'ahead of' : 'behind'} it`;
  return warn(
    'clock of the cloud',
    detail,
    "Set this machine's clock (NTP). Leases hold all the same; certificates and tokens may be refused.",
  );
}

async function checkDatabase(ask: Ask): Promise<Finding[]> {
  const took: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const answer = await ask('/readyz').catch(() => undefined);
    if (answer === undefined)
      return [fail('database', 'it does not answer in time', 'Look at the D1 database: `npx wrangler d1 info NAME`.')];
    if (answer.status !== 200)
      return [fail('database', problemOf(answer)?.detail ?? `GET /readyz answers ${answer.status}`, ADVICE_DATABASE)];
    took.push(answer.took_ms);
  }
  const median = took.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
  const latency = `with its database it answers in ${whole(median)} ms (median of ${ROUNDS})`;
  return [
    ok('database', 'it answers and has every migration'),
    median <= SLOW_MS
      ? ok('latency', latency)
      : warn('latency', latency, 'Leases are renewed late at that pace: raise the TTL of the plan, or find out what is slow.'),
  ];
}

const ADVICE_DATABASE =
  'Apply them: `npx wrangler d1 migrations apply DB --env NAME --remote`. `npm run deploy` does so before it deploys.';

async function examineWithCredential(io: Io, settings: Settings, ask: Ask): Promise<Finding[]> {
  const credential = await findCredential(settings).catch(() => undefined);
  if (credential === undefined) {
    const advice = 'Set BOOTPLANE_API_KEY, or name the data directory of a node with --data-dir. Without one nothing more can be asked.';
    return [warn('credential', 'there is none to try', advice)];
  }
  try {
    const answer = await ask('/healthz', credential);
    const health = Health.safeParse(answer.body);
    if (answer.status !== 200 || !health.success) return [refused(answer)];
    const found = checkCredential(settings, health.data);
    if (health.data.fleet === undefined) return [found];
    return [
      found,
      checkVersion(io, health.data),
      ...(await Promise.all([checkArtifacts(ask, credential), checkLease(settings, ask, credential)])),
    ];
  } catch (error) {
    return [fail('credential', `no answer: ${reasonOf(error)}`, 'Try again; the connection broke off.')];
  }
}

function refused(answer: Answer): Finding {
  const detail = `it is refused (${answer.status}): ${problemOf(answer)?.detail ?? 'no reason'}`;
  const advice = 'Is it the key that was put with `npx wrangler secret put BOOTPLANE_API_KEY --env NAME`, and is --fleet its fleet?';
  return fail('credential', detail, advice);
}

function checkCredential({ fleet: wanted }: Settings, { fleet, scope }: Health): Finding {
  if (fleet === undefined) {
    return warn(
      'credential',
      'it is accepted, and is of no fleet',
      'An admin key names none: try with the key of a fleet to see what its nodes see.',
    );
  }
  const detail = `it is accepted: fleet ${fleet}, scope ${scope ?? 'not told'}`;
  if (fleet === wanted) return ok('credential', detail);
  return fail(
    'credential',
    `${detail}; this machine is set up for fleet ${wanted}`,
    `Start nodes with --fleet ${fleet}, or use a credential of ${wanted}.`,
  );
}

function checkVersion(io: Io, { version }: Health): Finding {
  const own = io.version();
  if (version === undefined) return warn('version', 'it tells none: it is older than this program', 'Deploy the version of the nodes.');
  if (version === own) return ok('version', `${version}, as this program`);
  return warn(
    'version',
    `${version}; this program is ${own}`,
    'They talk to each other. Deploy the cloud first, then its nodes, so that none is ahead of it.',
  );
}

async function checkArtifacts(ask: Ask, credential: string): Promise<Finding> {
  const answer = await ask('/v1/artifacts?limit=1', credential);
  if (answer.status === 200 && ArtifactList.safeParse(answer.body).success) return ok('artifacts', 'it keeps artifacts');
  const problem = problemOf(answer);
  if (problem?.code === 'no_artifact_store') {
    return ok('artifacts', 'it keeps none: sites get them from their nodes (an R2 bucket as ARTIFACTS in wrangler.toml would change that)');
  }
  return fail(
    'artifacts',
    problem?.detail ?? `GET /v1/artifacts answers ${answer.status}`,
    'Is the bucket of ARTIFACTS in wrangler.toml there?',
  );
}

const LeaderAnswer = Leader.pick({ leader_url: true, node_id: true, epoch: true, expires_in_ms: true });

async function checkLease({ site }: Settings, ask: Ask, credential: string): Promise<Finding> {
  const name = `lease of site ${site}`;
  const answer = await ask(`/v1/leader?${new URLSearchParams({ site })}`, credential);
  const leader = LeaderAnswer.safeParse(answer.body);
  if (answer.status === 200 && leader.success) {
    const { node_id, leader_url, epoch, expires_in_ms } = leader.data;
    return ok(name, `${node_id} holds it at epoch ${epoch} for ${Math.ceil(expires_in_ms / 1000)} s more, at ${leader_url}`);
  }
  if (problemOf(answer)?.code === 'no_leader') {
    return warn(
      name,
      'nobody holds it',
      'Start a node of the site with --cloud-url; if one runs, `bootplane why` there says what keeps it.',
    );
  }
  return fail(name, problemOf(answer)?.detail ?? `GET /v1/leader answers ${answer.status}`, 'Look at the log of the Worker.');
}

async function send(io: Io, url: URL, credential: string | undefined): Promise<Answer> {
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
  const headers = credential === undefined ? {} : { authorization: `Bearer ${credential}` };
  const began = performance.now();
  const response = await fetch(url, { headers, signal, redirect: 'manual' });
  const body = parseJson(await response.text());
  return { status: response.status, headers: response.headers, body, took_ms: performance.now() - began };
}

function problemOf({ body }: Answer): z.output<typeof Problem> | undefined {
  const problem = Problem.safeParse(body);
  return problem.success ? problem.data : undefined;
}

function whole(ms: number): number {
  return Math.max(1, Math.round(ms));
}
