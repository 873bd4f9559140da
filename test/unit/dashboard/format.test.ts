import { describe, expect, it } from 'vitest';
import { ago, counted, summary, toneOf } from '../../../shared/dashboard/public/format.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');

describe('what the dashboard writes', () => {
  it.each([
    ['2026-03-01T12:00:00Z', '0 s'],
    ['2026-03-01T11:59:01Z', '59 s'],
    ['2026-03-01T11:59:00Z', '1 min'],
    ['2026-03-01T10:30:00Z', '1 h'],
    ['2026-02-27T11:00:00Z', '2 d'],
    ['2026-03-01T12:00:09Z', '0 s'],
  ])('%s is %s ago', (at, words) => expect(ago(at, NOW)).toBe(words));

  it('counts in words', () => {
    expect([counted(1, 'node'), counted(0, 'node'), counted(12_000, 'node')]).toEqual(['1 node', '0 nodes', '12,000 nodes']);
  });

  it('tells a report in one line', () => {
    const report = { component: 'broker', action: 'ensure-queue queue frames', status: 'failed', duration_ms: 12.7, message: 'no answer' };
    expect(summary('overlay.bootstrap', report)).toBe('broker: ensure-queue queue frames, failed (13 ms): no answer');
    expect(summary('overlay.bootstrap', { component: 'vector', action: 'reconcile', status: 'unchanged' })).toBe(
      'vector: reconcile, unchanged',
    );
  });

  it('tells the fields of any other event, without those for programs', () => {
    const data = { generation: 3, hash: 'ab'.repeat(32), parent: 'cd'.repeat(32), emergency: { n: 1 } };
    expect(summary('overlay.plan', data)).toBe('generation 3 · hash abababababab · emergency {"n":1}');
  });

  it('colours no word that it does not know', () => {
    expect([toneOf('online'), toneOf('lost'), toneOf('of a newer version')]).toEqual(['good', 'bad', 'quiet']);
  });
});
