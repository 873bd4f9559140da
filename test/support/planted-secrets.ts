import type { LogLine } from './recording-log.ts';

/** What bootplane makes: credentials of nodes, tokens of services, issued keys, fleet keys with a name, and JWTs. */
const FORMS = /\bbp[nsik]~[^~\s"']+~[^~\s"']+~[\w-]{16,}|\bbpk~[^~\s"']+~[\w-]{16,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/;
/** A shorter one is a word that a test sends as a wrong credential, and may stand anywhere. */
const SHORTEST = 20;

/** The first secret in a text; undefined where there is none. */
export function secretIn(text: string, secrets: Iterable<string>): string | undefined {
  for (const secret of secrets) if (secret.length >= SHORTEST && text.includes(secret)) return secret;
  return FORMS.exec(text)?.[0];
}

/** Answers whose purpose is to hand a secret out, once. */
const HANDS_OUT = [/^\/v1\/keys$/, /^\/v1\/fleets(\/|$)/, /^\/v1\/nodes\/join$/];

type Fetch = (path: string, init?: RequestInit) => Promise<Response>;

export interface Watched {
  readonly fetch: Fetch;
  /** Rejects when a secret was said anywhere: in an answer, in the log, or on the overlay. */
  check(): Promise<void>;
}

/** Looks for every credential that was presented in all that a Supervisor says. */
export function watchSecrets(fetch: Fetch, log: { readonly lines: readonly LogLine[] }, emitted: readonly unknown[]): Watched {
  const secrets = new Set<string>();
  const answers: Promise<readonly [where: string, text: string]>[] = [];
  return {
    fetch: async (path, init) => {
      const headers = new Headers(init?.headers);
      const presented = [headers.get('authorization')?.replace(/^bearer +/i, ''), headers.get('x-api-key')];
      for (const one of presented) if (one !== undefined && one !== null) secrets.add(one);
      const response = await fetch(path, init);
      if (isText(path, response)) answers.push(read(`${init?.method ?? 'GET'} ${path}`, response.clone()));
      return response;
    },
    async check() {
      const said = [...(await Promise.all(answers)), ['the log', textOf(log.lines)] as const, ['the overlay', textOf(emitted)] as const];
      for (const [where, text] of said) {
        const found = secretIn(text, secrets);
        if (found !== undefined) throw new Error(`${where} holds the secret ${found.slice(0, 12)}…: ${text.slice(0, 500)}`);
      }
    },
  };
}

/** A stream may never end, and what somebody stored is their own. */
function isText(path: string, { headers }: Response): boolean {
  const { pathname } = new URL(path, 'http://supervisor');
  const type = headers.get('content-type') ?? '';
  return /json|text\/plain/.test(type) && !HANDS_OUT.some((one) => one.test(pathname));
}

async function read(where: string, response: Response): Promise<readonly [string, string]> {
  const text = await response.text().catch(() => '');
  return [where, `${textOf([...response.headers])}\n${text}`];
}

/** With the words of errors, which JSON leaves out. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, one) => (one instanceof Error ? `${one.stack} ${textOf(one.cause) ?? ''}` : one)) ?? '';
}
