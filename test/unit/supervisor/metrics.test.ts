import { describe, expect, it } from 'vitest';
import { livenessOf } from '../../../shared/supervisor/liveness.ts';
import { createMetrics, renderLabels, renderMetric } from '../../../shared/supervisor/metrics.ts';

describe('metrics', () => {
  it('escape what the text format asks for', () => {
    expect(renderLabels({ site: 'a"b\\c\nd' })).toBe('{site="a\\"b\\\\c\\nd"}');
    expect(renderLabels({})).toBe('');
  });

  it('render each family once, with help and type', () => {
    expect(
      renderMetric('x_total', 'counter', 'Help.', [
        ['{a="1"}', 2],
        ['{a="2"}', 0],
      ]),
    ).toBe('# HELP x_total Help.\n# TYPE x_total counter\nx_total{a="1"} 2\nx_total{a="2"} 0\n');
  });

  it('give the same series for the same labels', () => {
    const metrics = createMetrics();
    metrics.counter('bootplane_events_total', { type: 'overlay.plan' }).add();
    metrics.counter('bootplane_events_total', { type: 'overlay.plan' }).add(2);
    metrics.counter('bootplane_events_total', { type: 'overlay.leader' }).add();
    expect(metrics.render().split('\n').slice(2, 4)).toEqual([
      'bootplane_events_total{type="overlay.plan"} 3',
      'bootplane_events_total{type="overlay.leader"} 1',
    ]);
  });
});

describe('liveness', () => {
  it.each([
    [0, null, 'online'],
    [15_000, null, 'online'],
    [15_001, null, 'late'],
    [45_000, null, 'late'],
    [45_001, null, 'lost'],
    [-5_000, null, 'online'],
    [0, 1, 'left'],
    [99_999, 1, 'left'],
  ] as const)('after %d ms of silence (left: %s): %s', (silent, left_at, liveness) => {
    expect(livenessOf({ silent_ms: silent, left_at, ttl_ms: 15_000 })).toBe(liveness);
  });
});
