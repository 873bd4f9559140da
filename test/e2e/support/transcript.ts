import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

/** One call of the transcript: what it shows, and curl's arguments, with `$URL`, `$KEY`, `$NODE_KEY`, `$OFFER` in them. */
export interface Step {
  readonly title: string;
  readonly args: readonly string[];
}

export interface Target {
  readonly url: string;
  readonly key: string;
  readonly node_key: string;
  /** Versions of the Cluster Plan that another Supervisor of the fleet has signed, as JSON. */
  readonly offer: string;
}

const SHOWN_HEADERS = /^(HTTP\/|content-type|etag|bootplane-|allow|www-authenticate|cache-control)/i;

/** Runs the steps with curl and writes down what a person would have seen, with what differs between two runs replaced. */
export async function transcribe(steps: readonly Step[], target: Target): Promise<string> {
  const parts: string[] = [];
  for (const { title, args } of steps)
    parts.push(`## ${title}\n\n\`\`\`\n$ curl ${args.map(quote).join(' ')}\n${await call(args, target)}\n\`\`\`\n`);
  return parts.join('\n');
}

function quote(argument: string): string {
  return /^[\w@%+=:,./?&$-]+$/.test(argument) ? argument : `'${argument}'`;
}

async function call(args: readonly string[], { url, key, node_key, offer }: Target): Promise<string> {
  const fill = (text: string) =>
    text
      .replaceAll('$URL', url)
      .replaceAll('$NODE_KEY', node_key)
      .replaceAll('$KEY', key)
      .replaceAll('$OFFER', () => offer);
  const filled = args.map(fill);
  const stdout = args.includes('--no-buffer') ? await curlStream(filled) : await curl(filled);
  const [head = '', ...rest] = stdout.replaceAll('\r\n', '\n').split('\n\n');
  const headers = head.split('\n').filter((line) => SHOWN_HEADERS.test(line));
  return normalise([...headers.map(lowerName).sort(statusFirst), '', rest.join('\n\n').trim()].join('\n').trim(), url);
}

function lowerName(header: string): string {
  return header.startsWith('HTTP/') ? header.replace(/^(HTTP\/1\.1 \d+).*/, '$1') : header.replace(/^[^:]+/, (name) => name.toLowerCase());
}

async function curl(args: readonly string[]): Promise<string> {
  const all = ['--silent', '--include', '--max-time', '120', ...args];
  return (await promisify(execFile)('curl', all, { maxBuffer: 16 * 1024 * 1024 })).stdout;
}

/** What a stream says until it says that there is nothing new. It never ends by itself, and how much comes in a second depends on the machine. */
async function curlStream(args: readonly string[]): Promise<string> {
  const child = spawn('curl', ['--silent', '--include', ...args, '--max-time', '120'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) {
    text += chunk;
    if (/^: (idle|alive)$/m.test(text)) break;
  }
  child.kill();
  return text;
}

function statusFirst(a: string, b: string): number {
  return Number(b.startsWith('HTTP/')) - Number(a.startsWith('HTTP/')) || a.localeCompare(b);
}

/** Times, what is left of a lease, and signatures (which cover times) differ from run to run. */
function normalise(text: string, url: string): string {
  return text
    .replaceAll(url, '$URL')
    .replaceAll(/\n*^: (idle|alive)$/gm, '')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, '<time>')
    .replaceAll(/"expires_in_ms":\d+/g, '"expires_in_ms":<ms>')
    .replaceAll(/"signature":"[\w-]+"/g, '"signature":"<signature>"')
    .replaceAll(/"key_id":"[\w-]+"/g, '"key_id":"<key>"')
    .replaceAll(/"proof":"[\w-]+"/g, '"proof":"<proof>"');
}
