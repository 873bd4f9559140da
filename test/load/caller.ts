import { Agent, request } from 'node:http';

export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

interface Kind {
  readonly times: number[];
  readonly statuses: Map<string, number>;
}

/** What was called in one phase, as the nodes saw it. */
export class Figures {
  readonly #kinds = new Map<string, Kind>();

  add(kind: string, outcome: string, ms: number): void {
    const one: Kind = this.#kinds.get(kind) ?? { times: [], statuses: new Map() };
    one.times.push(ms);
    one.statuses.set(outcome, (one.statuses.get(outcome) ?? 0) + 1);
    this.#kinds.set(kind, one);
  }

  /** Lines of a Markdown table: kind, requests, answers, p50, p99, longest. */
  lines(): string[] {
    return [...this.#kinds].map(([kind, { times, statuses }]) => {
      const sorted = times.toSorted((a, b) => a - b);
      const at = (share: number) => `${Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!)} ms`;
      const answers = [...statuses].map(([outcome, count]) => `${outcome}: ${count}`).join(', ');
      return `| ${kind} | ${times.length} | ${answers} | ${at(0.5)} | ${at(0.99)} | ${at(1)} |`;
    });
  }

  get requests(): number {
    return [...this.#kinds.values()].reduce((all, { times }) => all + times.length, 0);
  }

  get errors(): number {
    return [...this.#kinds.values()].reduce((all, { statuses }) => {
      const failed = [...statuses].filter(([outcome]) => !/^[23]/.test(outcome));
      return all + failed.reduce((sum, [, count]) => sum + count, 0);
    }, 0);
  }
}

/** Calls one Supervisor over so many connections. What waits for one counts as time, as it does for a node. */
export class Caller {
  figures = new Figures();
  readonly #url: URL;
  readonly #agent: Agent;
  readonly #timeout_ms: number;

  constructor(url: string, { connections, timeout_ms }: { readonly connections: number; readonly timeout_ms: number }) {
    this.#url = new URL(url);
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
    this.#timeout_ms = timeout_ms;
  }

  /** Undefined when no answer came, or one that says to come again. */
  async call(kind: string, [method, path]: readonly [string, string], credential: string, body?: object): Promise<Reply | undefined> {
    const began = performance.now();
    const sent = body === undefined ? undefined : JSON.stringify(body);
    try {
      const reply = await this.#send(method, path, credential, sent);
      this.figures.add(kind, String(reply.status), performance.now() - began);
      return reply.status === 429 || reply.status >= 500 ? undefined : reply;
    } catch (error) {
      this.figures.add(kind, error instanceof Error ? error.message.replace(/ \S*:\d+$/, '') : 'failed', performance.now() - began);
      return undefined;
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(method: string, path: string, credential: string, body: string | undefined): Promise<Reply> {
    const { hostname, port } = this.#url;
    const headers = {
      authorization: `Bearer ${credential}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
    };
    const options = { method, path, hostname, port, headers, agent: this.#agent, signal: AbortSignal.timeout(this.#timeout_ms) };
    return new Promise((resolve, reject) => {
      const asked = request(options, (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString();
          resolve({ status: answer.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) });
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }
}
