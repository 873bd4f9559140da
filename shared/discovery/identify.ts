import * as z from 'zod';
import { Id } from '../contract/ids.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { type FileDeps, messageOf, parseJson } from './json-file.ts';
import { recall } from './recall.ts';

export interface Identity {
  readonly node_id: string;
  /** New at each boot: tells a restart from a clone. */
  readonly instance_id: string;
  /** Of the boot before, when this data directory has seen one. */
  readonly previous_instance_id?: string;
}

export interface IdentifyDeps extends FileDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** `BOOTPLANE_NODE_ID`; wins over the file. */
  readonly node_id?: string;
}

const NODE_FILE = 'node.json';
const NodeFile = z.object({ node_id: Id, instance_id: Id.optional() });
type NodeFile = z.infer<typeof NodeFile>;

/**
 * Reads or makes the identity of this node: a UUIDv7 kept in `node.json`. Called once per boot. When that file is
 * damaged, the other files of the directory may still tell it.
 * Rejects when the file is there but can't be read and nothing else tells, or when a new one can't be written: an identity
 * that is not kept would be a new node at each boot.
 */
export async function identify(deps: IdentifyDeps): Promise<Identity> {
  const began = deps.clock.monotonic();
  const kept = await readNodeFile(deps, (await recall(deps)).node_id);
  const node_id = deps.node_id ?? kept?.node_id ?? deps.random.uuid();
  const isSame = kept?.node_id === node_id;
  const identity: Identity = {
    node_id,
    instance_id: deps.random.uuid(),
    ...(isSame && kept.instance_id !== undefined ? { previous_instance_id: kept.instance_id } : {}),
  };
  await keep(deps, identity, isSame);
  const how = deps.node_id !== undefined ? 'configured' : isSame ? 'known' : 'new';
  deps.log.info('identify', { step: true, result: `node ${node_id} (${how})`, node_id, duration_ms: deps.clock.monotonic() - began });
  return identity;
}

async function readNodeFile(deps: IdentifyDeps, recalled: string | undefined): Promise<NodeFile | undefined> {
  let text: string | undefined;
  try {
    text = await deps.files.read(NODE_FILE);
  } catch (error) {
    // Perhaps only this user may not read it: a new identity would be the wrong answer to that.
    if (recalled === undefined) throw error;
    return replaceNodeFile(deps, recalled, messageOf(error));
  }
  if (text === undefined) return undefined;
  const parsed = NodeFile.safeParse(parseJson(text));
  return parsed.success ? parsed.data : replaceNodeFile(deps, recalled, 'it is not valid');
}

async function replaceNodeFile({ files, log }: IdentifyDeps, recalled: string | undefined, why: string): Promise<NodeFile | undefined> {
  const aside = await files.setAside(NODE_FILE, why);
  const kept = `${NODE_FILE} can't be used: ${why}${aside === undefined ? '' : `; it is kept as ${aside}`}`;
  const lost =
    'so the identity of this node is lost and it becomes a new node. If you know its node_id, stop the node, set BOOTPLANE_NODE_ID to it and start again';
  log.error(recalled === undefined ? `${kept}, ${lost}` : `${kept}; the node stays ${recalled}, as other files here tell`, {
    file: NODE_FILE,
  });
  return recalled === undefined ? undefined : { node_id: recalled };
}

/** A known node starts even on a full disk: only its previous_instance_id will be missing the next time. */
async function keep({ files, log }: IdentifyDeps, { node_id, instance_id }: Identity, isSame: boolean): Promise<void> {
  try {
    await files.write(NODE_FILE, `${JSON.stringify({ node_id, instance_id })}\n`);
  } catch (error) {
    if (!isSame) throw error;
    log.warn(`${NODE_FILE} can't be written: ${messageOf(error)}`, { file: NODE_FILE });
  }
}
