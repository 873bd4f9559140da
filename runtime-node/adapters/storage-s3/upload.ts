import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { StorageError } from '../../../shared/ports/object-storage.ts';
import { header } from './answers.ts';
import type { Requests } from './requests.ts';
import { escapeXml, textOf } from './xml.ts';

/** Parts of one upload under way at a time. With the part that is being read this bounds its memory. */
const IN_FLIGHT = 3;
/** S3's limit. */
const MOST_PARTS = 10_000;

interface Sent {
  readonly number: number;
  readonly etag: string;
}

/** An object that is sent in parts and exists when they are put together: until then a reader sees what was there before. */
export class Upload {
  readonly #requests: Requests;
  readonly #bucket: string;
  readonly #key: string;
  readonly #id: string;

  private constructor(requests: Requests, bucket: string, key: string, id: string) {
    this.#requests = requests;
    this.#bucket = bucket;
    this.#key = key;
    this.#id = id;
  }

  static async begin(requests: Requests, bucket: string, key: string, headers: Readonly<Record<string, string>>): Promise<Upload> {
    // A repeated one leaves an upload without parts, which costs nothing.
    const request = { method: 'POST', bucket, key, query: { uploads: '' }, headers, repeat: true } as const;
    const { root } = await requests.ask(request, 'InitiateMultipartUploadResult');
    const id = textOf(root, 'UploadId') ?? '';
    if (id === '') throw new StorageError('failed', 'the store began an upload without saying its id');
    return new Upload(requests, bucket, key, id);
  }

  /** Sends all parts, some at a time. Rejects only after those under way have settled, so that `abort` removes them all. */
  async send(parts: AsyncIterable<Uint8Array>): Promise<Sent[]> {
    const sent: Sent[] = [];
    const underWay = new Set<Promise<void>>();
    const failed: unknown[] = [];
    try {
      let number = 0;
      for await (const part of parts) {
        number += 1;
        if (number > MOST_PARTS) throw tooLarge(part.length);
        const one: Promise<void> = this.#part(number, part)
          .then((result) => void sent.push(result))
          .catch((error: unknown) => void failed.push(error))
          .finally(() => underWay.delete(one));
        underWay.add(one);
        if (underWay.size >= IN_FLIGHT) await Promise.race(underWay);
        if (failed.length > 0) break;
      }
    } finally {
      await Promise.all(underWay);
    }
    if (failed.length > 0) throw failed[0];
    return sent.sort((one, other) => one.number - other.number);
  }

  async complete(sent: readonly Sent[], headers: Readonly<Record<string, string>>): Promise<IncomingHttpHeaders> {
    const list = sent.map(({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`);
    const body = Buffer.from(
      `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${list.join('')}</CompleteMultipartUpload>`,
    );
    const request = {
      method: 'POST',
      bucket: this.#bucket,
      key: this.#key,
      query: { uploadId: this.#id },
      headers,
      body,
      repeat: true,
    } as const;
    // It may say no in a document that comes with 200.
    return (await this.#requests.ask(request, 'CompleteMultipartUploadResult')).headers;
  }

  async abort(): Promise<void> {
    await this.#requests.order({ method: 'DELETE', bucket: this.#bucket, key: this.#key, query: { uploadId: this.#id }, repeat: true });
  }

  async #part(number: number, body: Uint8Array): Promise<Sent> {
    const query = { partNumber: String(number), uploadId: this.#id };
    const sha256 = createHash('sha256').update(body).digest('hex');
    const headers = await this.#requests.order({ method: 'PUT', bucket: this.#bucket, key: this.#key, query, body, sha256, repeat: true });
    const etag = header(headers, 'etag');
    if (etag === undefined) throw new StorageError('failed', 'the store took a part without saying its ETag');
    return { number, etag };
  }
}

function tooLarge(part: number): StorageError {
  return new StorageError(
    'failed',
    `the body has more than ${MOST_PARTS} parts of ${part} bytes, the most that S3 takes: store it in pieces`,
  );
}
