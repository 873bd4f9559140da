import type { ByteRange } from '../ports/artifact-store.ts';

/**
 * What a Range header asks for of `size` bytes (RFC 9110, section 14.2). `whole`: no header, or one
 * that a server may ignore: another unit, several ranges, bad syntax. `none`: no byte lies in it.
 */
export function readRange(header: string | null, size: number): ByteRange | 'whole' | 'none' {
  const [, first, last] = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return 'whole';
  if (first === '') return suffix(Number(last), size);
  const start = Number(first);
  if (last !== '' && Number(last) < start) return 'whole';
  if (start >= size) return 'none';
  return { start, end: last === '' ? size - 1 : Math.min(Number(last), size - 1) };
}

function suffix(length: number, size: number): ByteRange | 'none' {
  return length === 0 || size === 0 ? 'none' : { start: Math.max(0, size - length), end: size - 1 };
}
