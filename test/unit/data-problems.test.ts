import { describe, expect, it } from 'vitest';
import { BusError, type BusErrorKind } from '../../shared/ports/event-bus.ts';
import { StorageError, type StorageErrorKind } from '../../shared/ports/object-storage.ts';
import { VectorError, type VectorErrorKind } from '../../shared/ports/vector-index.ts';
import { embeddedPorts, startData } from '../runtime/data.harness.ts';
import { recordingLog } from '../support/recording-log.ts';

/** What a service is told when the port behind the data API rejects. Each is a whole request through a node's routes. */
const STORAGE: Record<StorageErrorKind, readonly [number, string]> = {
  no_such_bucket: [404, 'no_such_bucket'],
  no_such_key: [404, 'no_such_key'],
  already_exists: [412, 'already_exists'],
  not_empty: [503, 'unavailable'],
  bad_name: [400, 'invalid_parameter'],
  checksum_mismatch: [422, 'checksum_mismatch'],
  corrupt: [500, 'storage_corrupt'],
  range_not_satisfiable: [416, 'range_not_satisfiable'],
  full: [507, 'storage_full'],
  backend_away: [503, 'backend_away'],
  unauthorized: [502, 'backend_refused'],
  failed: [503, 'unavailable'],
};
const BUS: Record<BusErrorKind, readonly [number, string]> = {
  no_such_exchange: [404, 'no_such_exchange'],
  no_such_queue: [404, 'no_such_queue'],
  incompatible: [400, 'invalid_body'],
  not_empty: [503, 'unavailable'],
  in_use: [503, 'unavailable'],
  unsupported: [400, 'invalid_body'],
  unknown_delivery: [409, 'unknown_delivery'],
  bad_name: [400, 'invalid_body'],
  full: [507, 'storage_full'],
  backend_away: [503, 'backend_away'],
  unauthorized: [502, 'backend_refused'],
  failed: [503, 'unavailable'],
};
const VECTOR: Record<VectorErrorKind, readonly [number, string]> = {
  no_such_class: [404, 'no_such_class'],
  incompatible: [400, 'invalid_body'],
  not_empty: [503, 'unavailable'],
  bad_dimensions: [400, 'invalid_body'],
  bad_property: [400, 'invalid_body'],
  bad_name: [400, 'invalid_body'],
  full: [507, 'storage_full'],
  backend_away: [503, 'backend_away'],
  unauthorized: [502, 'backend_refused'],
  failed: [503, 'unavailable'],
};

const CASES = [
  ...Object.entries(STORAGE).map(([kind, told]) => ['object storage', 'GET /v1/objects/captures/k', kind, ...told] as const),
  ...Object.entries(BUS).map(([kind, told]) => ['event bus', 'POST /v1/queues/frames/messages', kind, ...told] as const),
  ...Object.entries(VECTOR).map(([kind, told]) => ['vector index', 'POST /v1/vectors/Frame/count', kind, ...told] as const),
];

describe('what a service is told when the port rejects', () => {
  it.each(CASES)('%s: %s, %s is %d %s', async (_port, request, kind, status, code) => {
    const log = recordingLog();
    const world = await startData(async () => {
      const ports = await embeddedPorts();
      const reject = (error: Error) => async () => Promise.reject(error);
      const words = 'found this, do that';
      return {
        ...ports,
        storage: overlaid(ports.storage, { get: reject(new StorageError(kind as StorageErrorKind, words)) }),
        bus: overlaid(ports.bus, { receive: reject(new BusError(kind as BusErrorKind, words)) }),
        vector: overlaid(ports.vector, { count: reject(new VectorError(kind as VectorErrorKind, words)) }),
      };
    }, log);
    const answer = await world.fetch(request, request.startsWith('POST') ? { body: '{}' } : {});
    expect(await answer.json()).toMatchObject({ status, code, detail: 'found this, do that' });
    expect(answer.headers.get('retry-after')).toBe(status === 503 ? '1' : null);
    // A server that is away or refuses is said in a line of words, and is no fault of the node.
    const said = log.lines.filter(({ fields }) => fields.code === code);
    if (code.startsWith('backend_')) expect(said).toMatchObject([{ level: 'warn', fields: { error: 'found this, do that' } }]);
    else expect(said.map(({ level }) => level)).toEqual(status >= 500 ? ['error'] : []);
    await world.close();
  });
});

/** The port with some of its methods replaced. */
function overlaid<P extends object>(port: P, methods: Partial<P>): P {
  return new Proxy(port, {
    get(target, name) {
      const value: unknown = Reflect.get(name in methods ? methods : target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
