import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Document, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import { codeOf, messageOf } from '../thrown.ts';
import { CommandError } from './errors.ts';
import type { Io } from './io.ts';

export interface Position {
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
}

/** A Cluster Plan or Environment Profile as it stands in a file. */
export interface DocumentFile {
  /** As the caller wrote it; `<stdin>` for `-`. */
  readonly name: string;
  readonly body: Record<string, unknown>;
  /** Where a JSON Pointer stands in the file; what is missing stands at what it is missing from. */
  find(pointer: string): Position;
}

/**
 * What is replaced in every text of a document file. So the examples can name a program that lies beside
 * them, wherever they were installed, and the user who can be sure to read it.
 */
function variables(folder: string, io: Io): ReadonlyMap<string, string> {
  return new Map([
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what people write into the file
    ['${BOOTPLANE_FILE_DIR}', folder],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what people write into the file
    ['${BOOTPLANE_USER}', io.user()],
  ]);
}

/** Reads YAML or JSON (which is YAML too). Rejects with `file:line:column` of what is not right. */
export async function readDocumentFile(io: Io, path: string): Promise<DocumentFile> {
  const name = path === '-' ? '<stdin>' : path;
  const folder = path === '-' ? io.cwd : dirname(resolve(io.cwd, path));
  const text = path === '-' ? await readAll(io) : await readText(resolve(io.cwd, path), path);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  refuseBrokenYaml(name, document, lines);
  refuseCycles(name, document, lines);
  const body = substitute(toPlain(name, document), variables(folder, io));
  if (!isFields(body)) throw invalid([`${name}:1:1 must hold a document: keys with values, as in docs/examples`]);
  return { name, body, find: (pointer) => positionOf(document, lines, pointer) };
}

/** The failure that lists what is wrong with a document. */
export function invalid(lines: readonly string[]): CommandError {
  return new CommandError('invalid_document', [`the document is not valid`, ...lines].join('\n'));
}

async function readText(absolute: string, path: string): Promise<string> {
  try {
    return await readFile(absolute, 'utf8');
  } catch (error) {
    const why = codeOf(error) === 'ENOENT' ? 'does not exist' : `can't be read: ${messageOf(error)}`;
    throw new CommandError('file', `${path} ${why}`, 'Give the path of a YAML or JSON file, or - for standard input.');
  }
}

async function readAll({ stdin }: Io): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function refuseBrokenYaml(name: string, document: Document.Parsed, lines: LineCounter): void {
  // a warning is a tag that is not known: its value would be read as something else than it says
  const found = [...document.errors, ...document.warnings];
  if (found.length === 0) return;
  throw invalid(
    found.map(({ code, message, pos }) => {
      const { line, col } = lines.linePos(pos[0]);
      return `${name}:${line}:${col} ${code === 'MULTIPLE_DOCS' ? SEVERAL : message}`;
    }),
  );
}

/** The parser names a call of its own that reads them. */
const SEVERAL = 'begins another document: the file has several, separated by ---, and one is allowed';

/** An alias inside of what it stands for has no end. It can only stand for what comes before it, so there is no other way to a circle. */
function refuseCycles(name: string, document: Document.Parsed, lines: LineCounter): void {
  const found: string[] = [];
  visit(document, {
    Alias(_, alias, above) {
      const target = alias.resolve(document);
      if (target === undefined || !above.includes(target)) return;
      const { line, col } = lines.linePos(offsetOf(alias) ?? 0);
      found.push(`${name}:${line}:${col} the alias *${alias.source} contains itself: it stands inside of &${alias.source}`);
    },
  });
  if (found.length > 0) throw invalid(found);
}

function toPlain(name: string, document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: 1000 });
  } catch (error) {
    throw invalid([`${name}:1:1 ${messageOf(error)}`]);
  }
}

function substitute(value: unknown, known: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return [...known].reduce((text, [name, meaning]) => text.replaceAll(name, () => meaning), value);
  if (Array.isArray(value)) return value.map((item) => substitute(item, known));
  if (!isFields(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, known)]));
}

function positionOf(document: Document.Parsed, lines: LineCounter, pointer: string): Position {
  let node: unknown = document.contents;
  let offset = offsetOf(node) ?? 0;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (isMap(node)) {
      const pair = node.items.find(({ key: name }) => String(isScalar(name) ? name.value : name) === key);
      if (pair === undefined) break;
      node = pair.value;
      // of a list or an object the key says more than its first item
      offset = (isScalar(node) ? offsetOf(node) : undefined) ?? offsetOf(pair.key) ?? offset;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      offset = offsetOf(node) ?? offset;
    } else break;
  }
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

function offsetOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return undefined;
  return node.range[0];
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
