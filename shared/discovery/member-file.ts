import * as z from 'zod';
import { documentHash } from '../contract/canonical.ts';
import { Member } from '../contract/member.ts';
import { type FileDeps, messageOf, parseJson, setAside, textOf, whyInvalid } from './json-file.ts';

/** Of the data directory. */
export const MEMBER_FILE = 'member.json';
/** The same once more: without it a node whose disk has spoilt one block would have to be let in anew, by a person. */
export const MEMBER_COPY = 'member.copy.json';

/** The file is there and can't be used; `message` says what to do. */
export class MemberFileError extends Error {
  override readonly name = 'MemberFileError';
}

const MemberFile = z.object({ sha256: z.string(), member: z.unknown() });

/**
 * What this node has of its fleet; undefined where it has not joined without the fleet key. Of a file that is damaged the copy
 * is used, and the file set aside. Rejects with `MemberFileError` when neither can be used: a node must not become another fleet by that.
 */
export async function readMember(deps: FileDeps): Promise<Member | undefined> {
  const found = await readOne(deps, MEMBER_FILE);
  if (typeof found === 'object') return found;
  const copy = await readOne(deps, MEMBER_COPY);
  if (found === undefined && copy === undefined) return undefined;
  if (typeof copy !== 'object') throw new MemberFileError(`${MEMBER_FILE} can't be used: ${found ?? copy}; ${JOIN_AGAIN}`);
  if (found !== undefined) await setAside(deps, MEMBER_FILE, `${found}; its copy is used`);
  await writeMember(deps, copy).catch((error: unknown) => deps.log.warn(`${MEMBER_FILE} can't be written: ${messageOf(error)}`));
  return copy;
}

/** What a person does for a node that nobody lets in any more. Goes on from a sentence. */
export const JOIN_AGAIN =
  'have a join key made for this node alone (`bootplane keys create join --max-uses 1`) and join with it again (`bootplane join`)';

/** As it was when the file was written. A string says why it can't be used. */
async function readOne({ files }: FileDeps, name: string): Promise<Member | string | undefined> {
  let text: string | undefined;
  try {
    text = await files.read(name);
  } catch (error) {
    return messageOf(error);
  }
  if (text === undefined) return undefined;
  const file = MemberFile.safeParse(parseJson(text));
  if (!file.success) return 'it is not what was written';
  const { sha256, member } = file.data;
  if ((await documentHash(member).catch(() => '')) !== sha256) return 'its hash does not match its content';
  const parsed = Member.safeParse(member);
  return parsed.success ? parsed.data : whyInvalid(parsed.error);
}

/**
 * Both files, each whole or not at all, mode 0600. Rejects with `StateFilesError` when the disk refuses one; the other is tried all the
 * same, since what is refused for want of room is written later, and one alone would be older than its copy.
 */
export async function writeMember({ files }: FileDeps, member: Member): Promise<void> {
  const text = textOf({ sha256: await documentHash(member), member });
  const refused: unknown[] = [];
  for (const name of [MEMBER_COPY, MEMBER_FILE]) await files.write(name, text).catch((error: unknown) => refused.push(error));
  if (refused.length > 0) throw refused[0];
}
