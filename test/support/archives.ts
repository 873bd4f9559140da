import { createHash } from 'node:crypto';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';

export interface TarEntry extends Partial<Omit<Header, 'size' | 'name'>> {
  readonly name: string;
  readonly body?: string | Uint8Array;
}

/** A tar with just these entries, however wrong they are. */
export async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const archive = pack();
  for (const { body = '', ...header } of entries) archive.entry(header, Buffer.from(body));
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function tgzOf(entries: readonly TarEntry[]): Promise<Buffer> {
  return gzipSync(await tarOf(entries));
}

export interface ZipEntry {
  readonly name: string;
  readonly body?: string | Uint8Array;
  /** A whole Unix mode, type included. Default: none, as DOS writes it. */
  readonly mode?: number;
  /** The size that the zip claims, if not the right one. */
  readonly claimed?: number;
  readonly flags?: number;
}

/** A zip with just these entries (APPNOTE 4.3), however wrong they are. */
export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, body = '', mode, claimed, flags = 0 } of entries) {
    const bytes = Buffer.from(body);
    const packed = deflateRawSync(bytes);
    const common = Buffer.alloc(26);
    for (const [index, value] of [20, flags | 0x0800, 8, 0, 0].entries()) common.writeUInt16LE(value, index * 2);
    for (const [index, value] of [crc32(bytes), packed.length, claimed ?? bytes.length].entries())
      common.writeUInt32LE(value, 10 + index * 4);
    const nameBytes = Buffer.from(name);
    common.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, nameBytes, packed]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(((mode ?? 0) << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    const madeBy = Buffer.from([20, mode === undefined ? 0 : 3]);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), madeBy, common, rest, nameBytes]));
    parts.push(local);
    offset += local.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(list.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, list, Buffer.from('PK\x05\x06'), end]);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
