import { PROBLEM_JSON, problem } from '../shared/contract/problem.ts';
import type { Clock } from '../shared/ports/clock.ts';
import type { Config } from './config.ts';
import { type Handler, type HttpServer, listen } from './http-server.ts';
import { loopbackUrl, reachableUrl } from './own-address.ts';
import type { Tls } from './tls.ts';

type Address = Pick<Config, 'host' | 'advertise_url'>;

interface Inside {
  answer: Handler;
}

/** For so long an address of this machine counts as unchanged, milliseconds: to list the interfaces is too dear for each request. */
const ADDRESS_GOOD_MS = 1_000;

/** Where a node listens. It is open before anything stands behind it, so that the port is known from the start. */
export class Door {
  readonly #config: Address;
  readonly #server: HttpServer;
  readonly #inside: Inside;
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** For other nodes. This machine is always answered over plain http. */
  readonly #scheme: 'http' | 'https';
  #seen: { readonly url: string; readonly at: number } | undefined;

  private constructor(config: Address, server: HttpServer, inside: Inside, clock: Pick<Clock, 'monotonic'>, scheme: 'http' | 'https') {
    this.#config = config;
    this.#server = server;
    this.#inside = inside;
    this.#clock = clock;
    this.#scheme = scheme;
  }

  /** Rejects with `ListenError`. */
  static async open(config: Address & Pick<Config, 'port'>, clock: Pick<Clock, 'monotonic'>, tls?: Tls): Promise<Door> {
    const inside: Inside = { answer: async () => starting() };
    const server = await listen(
      (request, from) => inside.answer(request, from),
      config.host,
      config.port,
      tls === undefined ? {} : { tls },
    );
    return new Door(config, server, inside, clock, tls === undefined ? 'http' : 'https');
  }

  /** From now on requests go to `answer`. */
  admit(answer: Handler): void {
    this.#inside.answer = answer;
  }

  /** The URL for other nodes. Looked up again and again, since an address may change. */
  get url(): string {
    if (this.#config.advertise_url !== undefined) return this.#config.advertise_url;
    const at = this.#clock.monotonic();
    if (this.#seen === undefined || at - this.#seen.at >= ADDRESS_GOOD_MS) {
      this.#seen = { url: reachableUrl(this.#config.host, this.#server.port, this.#scheme), at };
    }
    return this.#seen.url;
  }

  /** The URL for this machine. */
  get loopback(): string {
    return loopbackUrl(this.#config.host, this.#server.port);
  }

  /** Every origin under which this node may be dialled. */
  get origins(): readonly string[] {
    return [...new Set([new URL(this.url).origin, this.loopback])];
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}

function starting(): Response {
  return new Response(JSON.stringify(problem('unavailable', 'the node is starting')), {
    status: 503,
    headers: { 'content-type': PROBLEM_JSON },
  });
}
