import { openSqlite } from '../../../runtime-node/adapters/sqlite.ts';
import { readMigrations } from '../../../runtime-node/adapters/sqlite-migrations.ts';
import { listen } from '../../../runtime-node/http-server.ts';
import { fromWire, signDocument, toWire } from '../../../shared/contract/document.ts';
import { deriveFleetKeys } from '../../../shared/contract/fleet-keys.ts';
import { createSupervisor } from '../../../shared/supervisor/app.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { systemClock } from '../../support/system-clock.ts';

type Wire = Record<string, unknown>;
/** Changes the JSON of an answer on its way; undefined makes it a 404. */
export type Lie = (wire: Wire) => Wire | undefined | Promise<Wire | undefined>;

export interface LyingSupervisor {
  readonly url: string;
  /** From now on answers of this path are changed so; without a lie it is honest again. */
  lieAbout(path: string, lie?: Lie): void;
  close(): Promise<void>;
}

/** A real Supervisor whose answers a test can change on the way, as a broken or hostile one would. */
export async function startLyingSupervisor(fleetKey: string): Promise<LyingSupervisor> {
  const keys = await deriveFleetKeys('default', fleetKey);
  const database = openSqlite({ path: ':memory:', clock: systemClock, migrations: readMigrations('migrations') });
  const supervisor = createSupervisor({
    database,
    clock: systemClock,
    random: seededRandom(),
    log: recordingLog(),
    fleets: { default_fleet: 'default', keysOf: async () => keys },
    version: 'test',
    ttl_seconds: 3,
  });
  const lies = new Map<string, Lie>();
  const server = await listen(
    async (request) => {
      const answer = await supervisor.fetch(request);
      const lie = lies.get(new URL(request.url).pathname);
      return lie === undefined || request.method === 'PUT' ? answer : tell(lie, answer, await supervisor.fetch(withoutCache(request)));
    },
    '127.0.0.1',
    0,
  );
  return {
    url: `http://127.0.0.1:${server.port}`,
    lieAbout: (path, lie) => void (lie === undefined ? lies.delete(path) : lies.set(path, lie)),
    close: async () => {
      await server.close();
      await database.close();
    },
  };
}

/** A lie is told also to who would have been told "not modified". */
function withoutCache(request: Request): Request {
  return request.method === 'GET'
    ? new Request(request.url, { headers: { authorization: request.headers.get('authorization') ?? '' } })
    : request;
}

async function tell(lie: Lie, answer: Response, whole: Response): Promise<Response> {
  const source = answer.status === 304 ? whole : answer;
  if (!source.ok) return source;
  const told = await lie((await source.json()) as Wire);
  if (told !== undefined) return Response.json(told, { headers: { ...Object.fromEntries(source.headers), etag: '"a-lie"' } });
  return Response.json(
    { type: 'x', title: 'x', status: 404, detail: 'gone', code: 'no_profile' },
    { status: 404, headers: { 'content-type': 'application/problem+json' } },
  );
}

/** The same document signed by somebody who does not have the fleet key. */
export async function forge(wire: Wire, body: Wire, generation: number): Promise<Wire> {
  const stranger = await deriveFleetKeys('default', 'the key of another fleet altogether');
  const { meta } = fromWire('profile', 'default', wire);
  return toWire(await signDocument(stranger.documents, { kind: 'profile', fleet: 'default', body, meta: { ...meta, generation } }));
}
