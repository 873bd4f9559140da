import { type ClientOptions, callRaw, UnreachableError } from './client.ts';
import { ArtifactInfo, ArtifactList, artifactPath } from './contract/artifact.ts';

/** Calls of `/v1/artifacts`. They reject with `ApiError` or `UnreachableError`. */
export interface ArtifactClient {
  /** Bytes; undefined when it is not there. */
  size(sha256: string): Promise<number | undefined>;
  /** The whole artifact. What comes is not verified. */
  get(sha256: string): Promise<ReadableStream<Uint8Array>>;
  put(sha256: string, body: ReadableStream<Uint8Array>): Promise<ArtifactInfo>;
  list(after?: string): Promise<ArtifactList>;
}

export function createArtifactClient(options: ClientOptions): ArtifactClient {
  const notUnderstood = (what: string) =>
    new UnreachableError('not_understood', `${options.url} answered ${what} with something else than this version of bootplane knows`);
  return {
    async size(sha256) {
      const { status, headers } = await callRaw(options, { method: 'HEAD', path: artifactPath(sha256) }, isHeadRefusal);
      if (status === 404) return undefined;
      // The answer to a HEAD has no body, and so no problem in words: the same question with one tells.
      if (status !== 200) await this.list();
      const size = Number(headers.get('content-length') ?? Number.NaN);
      if (status !== 200 || !Number.isSafeInteger(size)) throw notUnderstood('HEAD of an artifact');
      return size;
    },
    async get(sha256) {
      const { body } = await callRaw(options, { method: 'GET', path: artifactPath(sha256) });
      return body ?? new ReadableStream({ start: (controller) => controller.close() });
    },
    async put(sha256, body) {
      const response = await callRaw(options, { method: 'PUT', path: artifactPath(sha256), body });
      const parsed = ArtifactInfo.safeParse(await response.json().catch(() => undefined));
      if (!parsed.success) throw notUnderstood('an upload');
      return parsed.data;
    },
    async list(after) {
      const query = after === undefined ? '' : `?after=${after}`;
      const response = await callRaw(options, { method: 'GET', path: `/v1/artifacts${query}` });
      const parsed = ArtifactList.safeParse(await response.json().catch(() => undefined));
      if (!parsed.success) throw notUnderstood('GET /v1/artifacts');
      return parsed.data;
    },
  };
}

function isHeadRefusal(status: number): boolean {
  return status >= 300;
}
