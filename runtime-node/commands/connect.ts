import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { type ArtifactClient, createArtifactClient } from '../../shared/artifact-client.ts';
import { type Client, type ClientOptions, createClient, type Fetch } from '../../shared/client.ts';
import { STALE_HEADER } from '../../shared/contract/headers.ts';
import { HttpUrl, Timestamp } from '../../shared/contract/ids.ts';
import { isPrivateWire } from '../../shared/contract/loopback.ts';
import { Member } from '../../shared/contract/member.ts';
import type { Settings } from '../config.ts';
import { FLEET_KEY_FILE } from '../fleet-key.ts';
import { readHolder } from '../holder-file.ts';
import { isAlive } from '../process-alive.ts';
import { codeOf, messageOf } from '../thrown.ts';
import { CommandError } from './errors.ts';
import { formatDuration } from './format.ts';
import { type Io, printNote } from './io.ts';

/** Written by a node into its data directory while it listens. */
export const LISTEN_FILE = 'listen.json';
export const ListenFile = z.object({ url: HttpUrl, pid: z.number().int().positive(), started_at: Timestamp.optional() });
export type ListenFile = z.infer<typeof ListenFile>;

/**
 * How long an answer may take, milliseconds. Longer than a node waits for a leader and its answer (18 s): what the node says of
 * that tells more than silence.
 */
const ANSWER_WITHIN_MS = 20_000;

/**
 * A client of the node that the settings name: `--url`, else the one that runs on the data directory. A person is told when
 * what it answers is not of now, unless the command shows what the node knows of itself (`isOfNode`).
 */
export async function connect(io: Io, settings: Settings, { isOfNode = false } = {}): Promise<Client> {
  const bounded = withDeadline(io.signal);
  return createClient({ ...(await findTarget(settings)), fetch: isOfNode ? bounded : tellingAge(io, bounded) });
}

/** Says once how old answers are that a node gave out of what it keeps; on standard error, so that what is printed stays the answer. */
function tellingAge(io: Io, call: Fetch): Fetch {
  let isTold = false;
  return async (request) => {
    const response = await call(request);
    const seconds = response.headers.get(STALE_HEADER);
    if (seconds === null || isTold) return response;
    isTold = true;
    printNote(io, `as of ${formatDuration(Number(seconds) * 1000)} ago: no leader is in reach`);
    return response;
  };
}

/** For what is asked about artifacts; to send or fetch one takes as long as it takes. */
export async function connectArtifacts(io: Io, settings: Settings): Promise<Pick<ArtifactClient, 'size'>> {
  return createArtifactClient({ ...(await findTarget(settings)), fetch: withDeadline(io.signal) });
}

/** For answers and bodies that take as long as they take. */
export async function connectUnbounded(io: Io, settings: Settings): Promise<ClientOptions> {
  return { ...(await findTarget(settings)), signal: io.signal };
}

async function findTarget(settings: Settings): Promise<{ readonly url: string; readonly credential: string }> {
  const url = settings.url ?? (await findLocalNode(settings.data_dir)).url;
  const credential = await findCredential(settings);
  refuseOpenWire(url);
  return { url, credential };
}

/** The node that runs on a data directory. Rejects with what was found instead. */
export async function findLocalNode(dataDir: string): Promise<ListenFile> {
  const path = join(dataDir, LISTEN_FILE);
  const text = await readOptional(path);
  const advice = `Start a node with \`bootplane up\`, or name one: --url URL, or --data-dir DIR of a node on this machine.`;
  if (text === undefined)
    throw heldBy(dataDir) ?? new CommandError('unreachable', `no node runs on ${dataDir}: there is no ${LISTEN_FILE}`, advice);
  const parsed = ListenFile.safeParse(parseJson(text));
  if (!parsed.success) throw new CommandError('unreachable', `${path} does not say where the node listens`, 'Restart the node.');
  if (!isAlive(parsed.data.pid)) {
    const detail = `no node runs on ${dataDir}: process ${parsed.data.pid}, which listened at ${parsed.data.url}, is gone`;
    throw heldBy(dataDir) ?? new CommandError('unreachable', detail, advice);
  }
  return parsed.data;
}

/** What is wrong where a process holds the directory all the same; undefined where none does, as far as is known. */
function heldBy(dataDir: string): CommandError | undefined {
  const holder = readHolder(dataDir);
  if (holder === undefined) return undefined;
  return new CommandError(
    'unreachable',
    `process ${holder.pid} holds ${dataDir}, and ${LISTEN_FILE} there does not say where it listens`,
    `It may just start or stop. Is the disk full? Free some space: the node writes the file within seconds then. Else name its address with --url URL; its log says where it listens.`,
  );
}

/**
 * The credential that the settings name: what is set, else the fleet key of the directory, else, of a node without it, the key of
 * that directory, or what it shows to others where somebody else is asked (`url`). Rejects with what was found instead.
 */
export async function findCredential(settings: Pick<Settings, 'api_key' | 'data_dir' | 'url'>): Promise<string> {
  if (settings.api_key !== undefined) return settings.api_key;
  const path = join(settings.data_dir, FLEET_KEY_FILE);
  const key = (await readOptional(path))?.trim();
  if (key !== undefined && key !== '') return key;
  const member = await findMember(settings.data_dir);
  const shown = settings.url === undefined ? member?.local_key : (member?.credential ?? member?.issued_key);
  if (shown !== undefined) return shown;
  throw new CommandError(
    'config',
    `no credential: BOOTPLANE_API_KEY is not set and there is no ${path}`,
    'Set BOOTPLANE_API_KEY to the fleet key, or name the data directory of a node of the fleet with --data-dir.',
  );
}

/** The fleet key itself. Rejects where there is none. */
export async function findFleetKey(settings: Pick<Settings, 'api_key' | 'data_dir' | 'url'>): Promise<string> {
  if (settings.api_key !== undefined || (await findMember(settings.data_dir)) === undefined) return findCredential(settings);
  throw new CommandError(
    'config',
    `the node of ${settings.data_dir} has joined without the fleet key`,
    'Run the command on a machine that holds it, or set BOOTPLANE_API_KEY.',
  );
}

const MemberFile = z.object({ member: Member });

/** What a node has that joined without the fleet key; undefined for any other. The node itself says what is wrong with a damaged file. */
export async function findMember(dataDir: string): Promise<Member | undefined> {
  for (const name of ['member.json', 'member.copy.json']) {
    const file = MemberFile.safeParse(parseJson((await readOptional(join(dataDir, name))) ?? ''));
    if (file.success) return file.data.member;
  }
  return undefined;
}

/** A credential in plain text may travel inside this machine only. */
export function refuseOpenWire(url: string): void {
  if (isPrivateWire(url) || isOwnAddress(new URL(url).hostname)) return;
  throw new CommandError(
    'config',
    `${url} is plain http to another machine, where the fleet key could be read on the way`,
    'Use its https address, or run the command on that machine.',
  );
}

function isOwnAddress(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === bare));
}

export function withDeadline(signal: AbortSignal, within_ms = ANSWER_WITHIN_MS): Fetch {
  return (request) => {
    const streams = request.headers.get('accept') === 'text/event-stream';
    const deadline = streams ? [] : [deadlineOf(within_ms)];
    return fetch(request, { signal: AbortSignal.any([request.signal, signal, ...deadline]) });
  };
}

/** As `AbortSignal.timeout`, whose own words would be told to a person. */
function deadlineOf(within_ms: number): AbortSignal {
  const late = new AbortController();
  setTimeout(() => late.abort(new Error(`no answer within ${within_ms / 1000} s`)), within_ms).unref();
  return late.signal;
}

/** The text of a file, or undefined when there is none. Rejects with advice when it can't be read. */
export async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    const hint = code === 'EACCES' ? 'It belongs to another user: run as the user that runs the node.' : undefined;
    throw new CommandError('file', `${path} can't be read: ${messageOf(error)}`, hint);
  }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
