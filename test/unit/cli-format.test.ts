import fc from 'fast-check';
import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { processIo } from '../../runtime-node/cli.ts';
import { colorState, formatAge, formatDuration, formatValue, oneLine } from '../../runtime-node/commands/format.ts';
import { colorsFor } from '../../runtime-node/commands/io.ts';
import { formatTable } from '../../runtime-node/commands/table.ts';
import { nearest } from '../../runtime-node/nearest.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('durations', () => {
  it.each([
    [-5, '0 s'],
    [0, '0 s'],
    [999, '0 s'],
    [SECOND, '1 s'],
    [59 * SECOND, '59 s'],
    [MINUTE, '1 min'],
    [MINUTE + 5 * SECOND, '1 min 5 s'],
    [HOUR, '1 h'],
    [HOUR + 59 * SECOND, '1 h'],
    [2 * HOUR + 5 * MINUTE + 9 * SECOND, '2 h 5 min'],
    [DAY + HOUR + MINUTE, '1 d 1 h'],
    [400 * DAY, '400 d'],
  ])('%d ms is %s', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  it('never show more than what passed', () => {
    const sizes: Record<string, number> = { s: SECOND, min: MINUTE, h: HOUR, d: DAY };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 * DAY }), (milliseconds) => {
        const parts = [...formatDuration(milliseconds).matchAll(/(\d+) (d|h|min|s)/g)];
        const shown = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (sizes[unit ?? ''] ?? Number.NaN), 0);
        expect(shown).toBeLessThanOrEqual(milliseconds);
        expect(milliseconds - shown).toBeLessThan(DAY);
      }),
    );
  });
});

describe('ages', () => {
  const io = { ...processIo(), now: () => Date.parse('2026-05-01T12:00:00.000Z') };

  it.each([
    ['2026-05-01T11:59:00.000Z', '1 min ago'],
    ['2026-05-01T12:00:00.400Z', '0 s ago'],
    ['2026-05-01T12:01:00.000Z', 'in 1 min'],
    ['yesterday', '?'],
  ])('of %s is %s', (timestamp, text) => {
    expect(formatAge(io, timestamp)).toBe(text);
  });
});

describe('text of others', () => {
  it('loses escapes, line ends and other control characters', () => {
    expect(oneLine('a\u001b[31mred\u001b[0m\r\nb\u0007c\u009bd')).toBe('ared b c d');
    expect(oneLine('äöü 🚀 日本')).toBe('äöü 🚀 日本');
  });

  it('never holds a control character, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: those must be gone
        expect(oneLine(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
      }),
    );
  });

  it('is cut where it is long', () => {
    expect(formatValue({ a: 'x'.repeat(500) })).toHaveLength(160);
    expect(formatValue({ a: 1 })).toBe('{"a":1}');
    expect(formatValue(undefined)).toBe('undefined');
  });
});

describe('tables', () => {
  it('align their columns, coloured cells too, and pad nothing at the end', () => {
    const red = picocolors.createColors(true).red('bad');
    const lines = formatTable(
      ['NAME', 'STATE', 'NOTE'],
      [
        ['a', 'good', ''],
        ['long-name', red, 'äöü'],
      ],
    );
    expect(lines).toEqual(['NAME       STATE  NOTE', 'a          good', `long-name  ${red}    äöü`]);
  });

  it('fill missing cells', () => {
    expect(formatTable(['A', 'B'], [['x']])).toEqual(['A  B', 'x']);
  });
});

describe('colours', () => {
  const io = processIo();
  const terminal = { write: () => undefined, isTTY: true };

  it('say what a word means', () => {
    const colors = colorsFor({ ...io, env: {} }, terminal);
    expect(colorState(colors, 'applied')).toBe(colors.green('applied'));
    expect(colorState(colors, 'failed')).toBe(colors.red('failed'));
    expect(colorState(colors, 'a word of a later version')).toBe(colors.yellow('a word of a later version'));
  });

  it.each([
    [{}, true, true],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ TERM: 'dumb' }, true, false],
    [{}, false, false],
  ])('with %j on a terminal (%s): %s', (env, isTTY, coloured) => {
    expect(colorsFor({ ...io, env }, { ...terminal, isTTY }).isColorSupported).toBe(coloured);
  });
});

describe('the nearest name', () => {
  const names = ['BOOTPLANE_PORT', 'BOOTPLANE_HOST', 'BOOTPLANE_SITE'];

  it('is the one with the fewest changed letters', () => {
    expect(nearest('BOOTPLANE_PROT', names)).toBe('BOOTPLANE_PORT');
    expect(nearest('BOOTPLANE_HOSTS', names)).toBe('BOOTPLANE_HOST');
    expect(nearest('BOOTPLANE_SITE', names)).toBe('BOOTPLANE_SITE');
  });

  it('is none when all are far away', () => {
    expect(nearest('XYZ', names)).toBeUndefined();
    expect(nearest('anything', [])).toBeUndefined();
  });
});
