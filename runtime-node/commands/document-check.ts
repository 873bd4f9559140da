import type * as z from 'zod';
import { ApiError } from '../../shared/client.ts';
import { type DocumentKind, DocumentMeta, documentSchemas } from '../../shared/contract/document.ts';
import { toPointer } from '../../shared/contract/pointer.ts';
import { unknownKeys } from '../../shared/decide/diff.ts';
import { type DocumentFile, invalid, readDocumentFile } from './document-file.ts';
import type { Io } from './io.ts';

export interface Finding {
  readonly pointer: string;
  readonly detail: string;
}

/** Reads a file and checks it with the schema of its kind. Rejects with all that is wrong, each with its place. */
export async function readCheckedFile(io: Io, kind: DocumentKind, path: string): Promise<DocumentFile> {
  const file = await readDocumentFile(io, path);
  refuseUnchecked(file, kind);
  return file;
}

/** Throws what is wrong with a file, if anything is. */
export function refuseUnchecked(file: DocumentFile, kind: DocumentKind): void {
  const findings = checkDocument(kind, file.body);
  if (findings.length > 0) throw invalid(placeFindings(file, findings));
}

/** What is wrong with a document: fields that are missing or not allowed, and keys that nobody knows. */
export function checkDocument(kind: DocumentKind, body: Record<string, unknown>): Finding[] {
  const parsed: z.ZodSafeParseResult<unknown> = documentSchemas[kind].safeParse(body);
  if (!parsed.success) {
    return parsed.error.issues.map((issue) => ({ pointer: toPointer(issue.path), detail: wording(issue) }));
  }
  return unknownKeys(body, parsed.data).map((pointer) => ({
    pointer,
    detail: isMeta(pointer) ? 'is added by publishing: leave it out' : 'is not known here',
  }));
}

function wording(issue: z.core.$ZodIssue): string {
  // zod says nothing else about what is not there
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) return `is missing (${issue.expected})`;
  const found =
    issue.code === 'invalid_type' && issue.expected === 'string' ? /received (number|boolean)$/.exec(issue.message)?.[1] : undefined;
  // A version as 1 or 1.10, which YAML makes a number of.
  return found === undefined ? issue.message : `must be a text, and is read as a ${found}: put it in quotes`;
}

function isMeta(pointer: string): boolean {
  return Object.hasOwn(DocumentMeta.shape, pointer.slice(1));
}

/** `file:line:column /pointer detail`, in the order of the file. */
function placeFindings(file: DocumentFile, findings: readonly Finding[]): string[] {
  return findings
    .map(({ pointer, detail }) => ({ ...file.find(pointer), pointer, detail }))
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .map(({ line, column, pointer, detail }) => `${file.name}:${line}:${column} ${pointer === '' ? '/' : pointer} ${detail}`);
}

/** Runs a call that sends a file, below `at` in its body; pointers in a refusal become places in the file. */
export async function withPlaces<T>(file: DocumentFile | undefined, call: Promise<T>, at = ''): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (file === undefined || !(error instanceof ApiError) || error.problem.errors === undefined) throw error;
    const findings = error.problem.errors.map((one) => ({ ...one, pointer: one.pointer.slice(at.length) }));
    throw invalid(placeFindings(file, findings));
  }
}
