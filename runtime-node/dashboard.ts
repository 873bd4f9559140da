import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { Handler } from './http-server.ts';
import { packageRoot } from './package-root.ts';

/** The files of the page, as the static assets of a Worker give them out too. */
const FOLDER = join(packageRoot(), 'shared/dashboard/public');
/** What every file is sent with, in the form that Cloudflare reads. */
const HEADERS_FILE = '_headers';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

interface File {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Gives out the dashboard at `/` beside what `rest` answers. The page is the same for everybody and holds nothing of the
 * fleet: it asks `/v1` with the credential of who looks at it. Its files are read when somebody asks for the first time.
 */
export function withDashboard(rest: Handler): Handler {
  let files: ReadonlyMap<string, File> | undefined;
  return (request, from) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return rest(request, from);
    const { pathname } = new URL(request.url);
    if (!isOfPage(pathname)) return rest(request, from);
    files ??= readFiles();
    const file = files.get(pathname);
    return file === undefined ? rest(request, from) : give(file, request);
  };
}

/** Its files lie side by side; no call of the API has a dot and no further slash. */
function isOfPage(pathname: string): boolean {
  return pathname === '/' || /^\/[\w-]+\.\w+$/.test(pathname);
}

function give({ bytes, headers }: File, request: Request): Response {
  if (request.headers.get('if-none-match') === headers.etag) return new Response(null, { status: 304, headers });
  return new Response(request.method === 'HEAD' ? null : bytes, { headers });
}

function readFiles(): ReadonlyMap<string, File> {
  const common = headersOf(readFileSync(join(FOLDER, HEADERS_FILE), 'utf8'));
  const names = readdirSync(FOLDER).filter((name) => name !== HEADERS_FILE);
  return new Map(names.map((name) => [name === 'index.html' ? '/' : `/${name}`, readFile(name, common)]));
}

function readFile(name: string, common: Readonly<Record<string, string>>): File {
  const bytes = new Uint8Array(readFileSync(join(FOLDER, name)));
  const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}"`;
  // A newer bootplane is seen at the next look; what has not changed is not sent again.
  const own = { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream', 'cache-control': 'no-cache', etag };
  return { bytes, headers: { ...common, ...own } };
}

/** The rules of `/*`, the only ones that the file has. */
function headersOf(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => line.startsWith('  '));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).trim().toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
}
