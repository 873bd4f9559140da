import { DocumentKind } from '../../contract/document.ts';
import type { FleetKeys } from '../../contract/fleet-keys.ts';
import type { Context } from '../context.ts';
import { signVersion, versionEvent } from '../documents.ts';
import type { NewEvent } from '../store/events.ts';
import { verify } from '../verified-documents.ts';

/** `published_by` of a version that was published again because its key was replaced. */
const REISSUED_BY = 'key-rotation';

/**
 * Publishes what is signed with a replaced key again: the same body as the next generation, signed with the key of now.
 * So it travels as every version does, and nodes that know the new key only can use it. Nothing changes on any node.
 */
export async function reissueDocuments(context: Context, keys: FleetKeys): Promise<void> {
  for (const kind of DocumentKind.options) {
    const event = await reissue(context, keys, kind);
    if (event !== undefined) context.announce(event);
  }
}

/** Undefined when there was nothing to do, or somebody published in the meantime: the next run looks again. */
async function reissue({ documents, options }: Context, keys: FleetKeys, kind: DocumentKind): Promise<NewEvent | undefined> {
  const { head, row } = await documents.store.state(keys.fleet, kind, 'default');
  if (head === undefined || row === undefined || row.key_id === keys.documents.key_id) return undefined;
  const { body, meta } = await verify(keys, row);
  const draft = { generation: meta.generation + 1, epoch: meta.epoch, published_by: REISSUED_BY, parent: head.hash };
  const document = await signVersion(keys, kind, body, draft, options.clock);
  const event = versionEvent(document, 'default');
  const ttl_seconds = head.ttl_seconds ?? undefined;
  return (await documents.store.swap({ document, replaces: head, ttl_seconds, site: 'default', event })) ? event : undefined;
}
