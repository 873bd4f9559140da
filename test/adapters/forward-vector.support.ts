import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import type { ClassSpec } from '../../shared/contract/profile.ts';
import type { VectorIndex, VectorObject } from '../../shared/ports/vector-index.ts';
import { seededRandom } from '../support/seeded-random.ts';

const DIMENSIONS = 32;

export function crashClass(name: string): ClassSpec {
  const properties = [
    { name: 'n', type: 'int' as const },
    { name: 'at', type: 'date' as const },
  ];
  return { name, dimensions: DIMENSIONS, properties };
}

/** The same for the same number. */
export function crashVector(n: number): VectorObject {
  const random = seededRandom(n + 1);
  const vector = Array.from({ length: DIMENSIONS }, () => random.next() - 0.5);
  return { id: `id-${n}`, vector, meta: { n, at: '2026-01-31T12:00:00.25+02:00' } };
}

/** What the writer prints. */
export interface Line {
  readonly acked?: number;
  readonly forwarded?: number;
  readonly waiting?: number;
  readonly conflicts?: number;
  readonly done?: true;
}

export interface Life {
  readonly folder: string;
  /** Of a Weaviate. Absent: a file stands for it. */
  readonly url?: string;
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** Runs the writer until it is done, or until `isEnough`, and then it is killed. Resolves with how many were acknowledged, and the last line. */
export async function runWriter({ folder, url = '', name, from, to }: Life, isEnough: (line: Line) => boolean = () => false) {
  const script = resolve(import.meta.dirname, 'forward-vector.writer.ts');
  const args = [script, folder, url, name, String(from), String(to)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let acked = from;
  let last: Line = {};
  for await (const text of createInterface({ input: child.stdout })) {
    last = JSON.parse(text) as Line;
    acked = last.acked ?? acked;
    if (isEnough(last)) child.kill('SIGKILL');
  }
  await exited;
  return { acked, last };
}

/** All of them are there as they were written, and each is the nearest to its own vector. */
export async function expectAllThere(index: VectorIndex, name: string, total: number): Promise<void> {
  expect(await index.count(name)).toBe(total);
  for (let from = 0; from < total; from += 250) {
    const wanted = Array.from({ length: Math.min(250, total - from) }, (_, position) => crashVector(from + position));
    const ids = wanted.map(({ id }) => id);
    const found = new Map((await index.getMany(name, ids)).map((object) => [object.id, object]));
    for (const { id, vector, meta } of wanted) {
      const { at, ...rest } = found.get(id)?.meta ?? {};
      expect({ id, ...rest }).toEqual({ id, n: meta.n });
      expect(Date.parse(String(at))).toBe(Date.UTC(2026, 0, 31, 10, 0, 0, 250));
      expect(found.get(id)?.vector.map(Math.fround)).toEqual(vector.map(Math.fround));
    }
    expect((await index.findable(name, wanted)).sort()).toEqual(ids.sort());
    const nearest = await Promise.all(wanted.map(({ vector }) => index.search(name, { vector, limit: 1 })));
    expect(nearest.map(([hit]) => hit?.id)).toEqual(wanted.map(({ id }) => id));
  }
}
