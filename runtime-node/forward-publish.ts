import { documentHash } from '../shared/contract/canonical.ts';
import { DocumentMeta, History, type PublishAnswer } from '../shared/contract/document.ts';
import { diffDocuments } from '../shared/decide/diff.ts';
import { type AnyCall, isFleetPublish } from './forward-call.ts';
import type { Forwarding } from './forwarding.ts';

/**
 * The answer to a publish that was refused because the document has moved on, when what it moved on to
 * is this very publish: its first answer was lost on the way, so it counts as done (RFC 9110, section 13.1.1,
 * allows a 2xx for a change that was applied already). Undefined when another version stands there.
 */
export async function publishedBefore(forwarding: Forwarding, call: AnyCall): Promise<Response | undefined> {
  const replaces = /^"(\d{1,15})(?:-[0-9a-f]{16})?"$/.exec(call.headers.get('if-match') ?? '')?.[1];
  const isDryRun = new URLSearchParams(call.search).get('dry_run') === 'true';
  if (!isFleetPublish(call) || isDryRun || replaces === undefined || !(call.body instanceof Uint8Array)) return undefined;
  const body = parse(new TextDecoder().decode(call.body));
  const hash = await documentHash(body).catch(() => undefined);
  const generation = Number(replaces) + 1;
  const read = async (path: string) => readJson(await forwarding.insist(lookup(call, `${call.pathname}/${path}`)));
  const history = History.safeParse(await read('history'));
  const isHere = history.data?.versions.some((one) => one.generation === generation && one.hash === hash && !one.conflict) === true;
  if (!isHere || hash === undefined) return undefined;
  const before = await read(`history/${replaces}`);
  const changes = diffDocuments(bodyOf(before), body);
  const answer: PublishAnswer = { generation, hash, changed: true, dry_run: false, changes };
  const etag = `"${generation}-${hash.slice(0, 16)}"`;
  return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json', etag } });
}

/** A read by the same caller. */
function lookup({ headers, caller, signal }: AnyCall, pathname: string): AnyCall {
  const kept = new Headers([...headers].filter(([name]) => name === 'authorization' || name === 'x-api-key'));
  return { method: 'GET', pathname, search: '', headers: kept, caller, body: undefined, signal };
}

async function readJson(response: Response): Promise<unknown> {
  return response.ok ? parse(await response.text()) : undefined;
}

/** Without what publishing added; of a version that is not there any more, nothing. */
function bodyOf(wire: unknown): Record<string, unknown> {
  if (typeof wire !== 'object' || wire === null) return {};
  return Object.fromEntries(Object.entries(wire).filter(([name]) => !Object.hasOwn(DocumentMeta.shape, name)));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
