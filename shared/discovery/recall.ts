import * as z from 'zod';
import { Count, Id } from '../contract/ids.ts';
import { type FileDeps, readJsonFile } from './json-file.ts';
import { TRACE_FILE } from './trace.ts';

export const CLUSTER_FILE = 'cluster.json';

/** What a node that ran here before was. */
export interface Recalled {
  readonly node_id?: string;
  /** The highest that it had seen when it wrote. */
  readonly epoch?: number;
}

const Told = z.object({ node_id: Id, epoch: Count.optional() });

/**
 * What the files that others read tell of this node: its identity and its epoch are in files of their own, which may be
 * damaged. One of these that is damaged itself is set aside here, and written again when the node has something to say.
 */
export async function recall(deps: FileDeps): Promise<Recalled> {
  const [cluster, trace] = await Promise.all([readJsonFile(deps, CLUSTER_FILE, Told), readJsonFile(deps, TRACE_FILE, Told)]);
  const node_id = cluster?.node_id ?? trace?.node_id;
  return { ...(node_id === undefined ? {} : { node_id }), ...(cluster?.epoch === undefined ? {} : { epoch: cluster.epoch }) };
}
