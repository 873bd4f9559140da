import { beforeEach, describe, expect, test } from 'vitest';
import type { BacklogStatus } from '../../../shared/contract/backlog.ts';
import type { BootstrapEvent } from '../../../shared/contract/event.ts';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { createAttempts } from '../../../shared/reconcile/attempts.ts';
import { NO_OTHERS } from '../../../shared/reconcile/fall-forward/other-externals.ts';
import type { FallForward } from '../../../shared/reconcile/fall-forward/types.ts';
import { createEnvironmentReconciler, type ReconcilerDeps } from '../../../shared/reconcile/reconciler.ts';
import { type Backends, desiredProfile, memoryBackends } from '../../support/memory-environment.ts';
import { recordingLog } from '../../support/recording-log.ts';

const PROFILE = {
  storage: { buckets: [{ name: 'captures', versioning: true }] },
  broker: {
    exchanges: [{ name: 'overlay', type: 'topic' }],
    queues: [{ name: 'frames', type: 'quorum' }],
    bindings: [{ exchange: 'overlay', queue: 'frames', key: 'frame.#' }],
  },
};

let here: Backends;
let there: Backends;
let log: ReturnType<typeof recordingLog>;

beforeEach(() => {
  here = memoryBackends({ bus: { queue_types: ['classic'] } });
  there = memoryBackends({ storage: { shared: true } });
  log = recordingLog();
});

interface Switch<Port> extends FallForward<Port> {
  state: BacklogStatus;
  wakes: number;
}

/** A component of which a test says whether its external answers. */
function switched<Port>(external: Port, fallback: Port, presence: BacklogStatus['presence'] = 'present'): Switch<Port> {
  const made: Switch<Port> = {
    ...{ port: external, external, fallback, wakes: 0 },
    state: { presence, reason: 'nothing listens there', waiting: 0, forwarded: 0, conflicts: 0 },
    status: () => made.state,
    conflicts: { list: async () => [], find: async () => undefined, resolve: async () => ({ message: '' }) },
    others: NO_OTHERS,
    run: async () => undefined,
    wake: () => {
      made.wakes += 1;
    },
  };
  return made;
}

function start(forwards: NonNullable<ReconcilerDeps['forwards']>, more: Partial<ReconcilerDeps> = {}) {
  const events: BootstrapEvent[] = [];
  const { clock, storage, bus, vector } = here;
  const attempts = createAttempts({ files: here.files, clock, log });
  const report = (event: BootstrapEvent) => void events.push(event);
  const reconciler = createEnvironmentReconciler({
    ...{ node_id: 'node-1', storage, bus, vector, clock, log, attempts, report, forwards },
    ...more,
  });
  return { reconciler, events };
}

const buckets = async ({ storage }: Backends) => (await storage.readBuckets(['captures'])).map(({ name }) => name);

describe('a component with an external', () => {
  test('has both brought to the profile, and stands as the external does', async () => {
    const storage = switched(there.storage, here.storage, 'forwarding');
    const { reconciler, events } = start({ storage });
    const components = await reconciler.apply(await desiredProfile(PROFILE));
    expect(components.storage?.status).toBe('applied');
    expect([await buckets(here), await buckets(there)]).toEqual([['captures'], ['captures']]);
    expect(events.filter(({ component }) => component === 'storage').map(({ action }) => action)).toEqual([
      'ensure-bucket bucket captures',
      'enable-versioning versioning of bucket captures',
      'reconcile',
    ]);
    expect(storage.wakes).toBe(1);
    expect((await reconciler.apply(await desiredProfile(PROFILE))).storage?.status).toBe('unchanged');
  });

  test('whose external is away is pending and says so, is not asked, and its embedded default is prepared', async () => {
    const away = { ...there.storage, readBuckets: () => Promise.reject(new Error('asked')) };
    const storage = switched(away, here.storage, 'away');
    const { reconciler, events } = start({ storage });
    const components = await reconciler.apply(await desiredProfile(PROFILE));
    expect(components.storage).toMatchObject({ status: 'pending', message: expect.stringMatching(/is away: nothing listens there/) });
    expect(components.storage?.message).toContain('takes what is written');
    expect(await buckets(here)).toEqual(['captures']);
    expect(storage.wakes).toBe(0);
    // By level: the same again says nothing.
    await reconciler.apply(await desiredProfile(PROFILE));
    expect(events.filter(({ component }) => component === 'storage')).toHaveLength(1);
  });

  test('whose external goes away in the middle is pending, and is asked again', async () => {
    const gone = () => Promise.reject(new StorageError('backend_away', 'the line is cut'));
    for (const method of ['readBuckets', 'ensureVersioning'] as const) {
      const storage = switched({ ...bound(there.storage), [method]: gone }, here.storage);
      const components = await start({ storage }).reconciler.apply(await desiredProfile(PROFILE));
      expect(components.storage).toMatchObject({ status: 'pending', message: expect.stringContaining('the line is cut') });
      expect(storage.wakes).toBe(1);
    }
  });

  test('whose external hangs is pending after the limit, and the embedded defaults of all came before', async () => {
    const storage = switched({ ...bound(there.storage), readBuckets: () => new Promise<never>(() => undefined) }, here.storage);
    const { reconciler } = start({ storage, broker: switched(there.bus, memoryBackends().bus) as never }, { call_limit_ms: 1000 });
    const applied = reconciler.apply(await desiredProfile(PROFILE));
    await here.clock.advance(1000);
    expect((await applied).storage).toMatchObject({ status: 'pending', message: expect.stringContaining('no answer within 1 s') });
    expect((await applied).broker?.status).toBe('applied');
    expect(await buckets(here)).toEqual(['captures']);
  });

  test('whose external refuses has failed as any other', async () => {
    const refused = () => Promise.reject(new StorageError('unauthorized', 'the key is not known there'));
    const storage = switched({ ...bound(there.storage), readBuckets: refused }, here.storage);
    const components = await start({ storage }).reconciler.apply(await desiredProfile(PROFILE));
    expect(components.storage).toMatchObject({ status: 'failed', message: expect.stringContaining('the key is not known') });
    expect(storage.wakes).toBe(0);
  });

  test('whose embedded default fails says so, and has failed only where nothing stands in', async () => {
    const full = () => Promise.reject(new StorageError('full', 'the disk is full'));
    const broken = { ...bound(here.storage), ensureBucket: full };
    const present = await start({ storage: switched(there.storage, broken) }).reconciler.apply(await desiredProfile(PROFILE));
    expect(present.storage).toMatchObject({ status: 'applied', message: expect.stringMatching(/could not be prepared.*the disk is full/) });
    const away = await start({ storage: switched(there.storage, broken, 'away') }).reconciler.apply(await desiredProfile(PROFILE));
    expect(away.storage).toMatchObject({ status: 'failed', message: expect.stringMatching(/is away.*the disk is full/) });
  });

  test('is left to who leads the site, and its embedded default is not', async () => {
    const storage = switched(there.storage, here.storage);
    const components = await start({ storage }, { reconciledBy: () => 'node-2' }).reconciler.apply(await desiredProfile(PROFILE));
    expect(components.storage).toMatchObject({ status: 'skipped', message: expect.stringContaining('node-2 leads') });
    expect([await buckets(here), await buckets(there)]).toEqual([['captures'], []]);
  });

  test('what the embedded default can not do is no fault, and is said once', async () => {
    const broker = switched(there.bus, here.bus) as never;
    const { reconciler } = start({ broker });
    for (const _ of [1, 2]) expect((await reconciler.apply(await desiredProfile(PROFILE))).broker?.message).toBeUndefined();
    expect(log.lines.filter(({ message }) => message.includes("can't stand in for all of it"))).toHaveLength(1);
    there.bus.close();
  });

  test('shows both sides in a diff, and does not ask what is away', async () => {
    const storage = switched(there.storage, here.storage);
    const { reconciler } = start({ storage });
    const desired = await desiredProfile(PROFILE);
    const [both] = await reconciler.diff(desired);
    expect(both?.actions.map(({ kind }) => kind)).toEqual(['ensure-bucket', 'enable-versioning']);
    expect(both?.embedded?.actions.map(({ kind }) => kind)).toEqual(['ensure-bucket', 'enable-versioning']);
    storage.state = { ...storage.state, presence: 'away' };
    const [away] = await reconciler.diff(desired);
    expect(away).toMatchObject({ actions: [], failed: expect.stringContaining('is away: nothing listens there') });
    expect(away?.embedded?.actions).toHaveLength(2);
  });

  test('names the profile to which its embedded default was brought', async () => {
    const prepared: string[] = [];
    const onPrepared: ReconcilerDeps['onPrepared'] = ({ storage }) => void prepared.push(storage?.buckets[0]?.name ?? '');
    await start({ storage: switched(there.storage, here.storage, 'away') }, { onPrepared }).reconciler.apply(await desiredProfile(PROFILE));
    await start({}, { onPrepared }).reconciler.apply(await desiredProfile(PROFILE));
    expect(prepared).toEqual(['captures']);
  });
});

/** All methods of a port as own properties, so that some can be replaced. */
function bound<Port extends object>(port: Port): Port {
  return new Proxy(port, {
    ownKeys: () => [...new Set([...Reflect.ownKeys(port), ...Reflect.ownKeys(Object.getPrototypeOf(port))])],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    get: (target, name) => {
      const value = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
