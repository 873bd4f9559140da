import type { Fetch } from '../client.ts';
import type { Sleep } from './consume.ts';
import { createMessages, type Messages } from './messages.ts';
import { createObjects, type Objects } from './objects.ts';
import { createVectors, type Vectors } from './vectors.ts';

export { ApiError, UnreachableError } from '../client.ts';
export type { ObjectInfo, ObjectList, VectorHit, VectorList, VectorObject, VectorSearch } from '../contract/data.ts';
export type { ConsumeOptions, Consumer, Delivery } from './consume.ts';
export type { Messages, OutgoingMessage } from './messages.ts';
export type { Objects, PutOptions, StoredObject } from './objects.ts';
export type { Vectors } from './vectors.ts';

export interface ServicesOptions {
  /** Of the node on this machine, as `BOOTPLANE_URL` has it. */
  readonly url: string;
  /** As `BOOTPLANE_TOKEN` has it. */
  readonly token: string;
  readonly fetch?: Fetch;
  readonly sleep: Sleep;
}

/** The buckets, queues and vector classes of the node that runs a service. All calls reject with `ApiError` or `UnreachableError`. */
export interface Services {
  readonly objects: Objects;
  readonly messages: Messages;
  readonly vectors: Vectors;
}

export function createServices({ url, token, fetch, sleep }: ServicesOptions): Services {
  const connection = { url, credential: token, ...(fetch === undefined ? {} : { fetch }) };
  return { objects: createObjects(connection), messages: createMessages(connection, sleep), vectors: createVectors(connection) };
}
