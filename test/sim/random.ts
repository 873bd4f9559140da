import type { Random } from '../../shared/ports/random.ts';
import { seededRandom } from '../support/seeded-random.ts';

/** A source of its own for each purpose: what one part of a world draws does not change what another does. */
export function randomOf(seed: number, purpose: string): Random {
  let mixed = seed >>> 0;
  for (const letter of purpose) mixed = Math.imul(mixed ^ (letter.codePointAt(0) ?? 0), 0x01000193) ^ (mixed >>> 13);
  const random = seededRandom(mixed);
  // Neighbouring seeds begin alike.
  for (let turn = 0; turn < 4; turn += 1) random.next();
  return random;
}

export function between(random: Random, least: number, most: number): number {
  return least + (most - least) * random.next();
}

/** A whole number from 0 to `count` - 1. */
export function below(random: Random, count: number): number {
  return Math.floor(random.next() * count);
}

export function pick<T>(random: Random, list: readonly T[]): T {
  const chosen = list[below(random, list.length)];
  if (chosen === undefined) throw new RangeError('nothing to pick from');
  return chosen;
}

export function chance(random: Random, probability: number): boolean {
  return random.next() < probability;
}
