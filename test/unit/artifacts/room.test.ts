import { describe, expect, test } from 'vitest';
import { leavingRoom, NoRoomError, Room, reserveOf } from '../../../runtime-node/artifacts/room.ts';
import { sha256 } from '../../support/archives.ts';
import { memoryArtifactStore } from '../../support/memory-artifact-store.ts';

const MIB = 1024 ** 2;

test.each([
  [24 * MIB, 16 * MIB],
  [1000 * MIB, 50 * MIB],
  [4_000_000 * MIB, 1024 * MIB],
])('of a disk of %d bytes %d are left to the node', (size, reserve) => expect(reserveOf(size)).toBe(reserve));

test('a disk that tells nothing of itself keeps nobody from trying', async () => {
  await new Room('/nowhere/at/all').need(Number.MAX_SAFE_INTEGER);
});

test('what others write meanwhile counts, too', async () => {
  const disk = { free: 116 * MIB, size: 200 * MIB };
  const meter = new Room('/data', async () => disk).meter();
  for (let written = 0; written < 8; written += 1) await meter(MIB);
  disk.free = 16 * MIB;
  await expect(meter(1)).rejects.toThrow(NoRoomError);
});

describe('what is pushed to a store on a disk without room for it', () => {
  const bytes = new Uint8Array(3 * MIB);
  const push = async (free: number) => {
    const store = memoryArtifactStore();
    const room = new Room('/data', async () => ({ free, size: 100 * MIB }));
    const stored = leavingRoom(store, room).put(sha256(bytes), new Blob([bytes]).stream());
    return { store, outcome: await stored.catch((error: unknown) => error) };
  };

  test('is refused in words, and nothing of it is kept', async () => {
    const { store, outcome } = await push(18 * MIB);
    expect(outcome).toMatchObject({ name: 'ArtifactError', kind: 'full', message: expect.stringContaining('18.9 MB are free in /data') });
    expect(await store.head(sha256(bytes))).toBeUndefined();
  });

  test('is taken when it fits', async () => {
    expect((await push(19 * MIB)).outcome).toMatchObject({ size: bytes.length });
  });
});
