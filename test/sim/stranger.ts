import type { Fetch } from '../../shared/client.ts';
import type { Advert, Lan } from '../../shared/ports/lan.ts';
import type { Host, Listener } from './http.ts';
import type { World } from './world.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

/**
 * A machine that is not of the fleet. It advertises what it makes up and what it has heard of others with its own address
 * in it, passes challenges on to real nodes, and where that proves nothing claims to lead at an epoch above all.
 */
export class Stranger implements Host {
  readonly name = 'stranger';
  readonly ip = '10.0.0.66';
  readonly #world: World;
  readonly #lan: Lan;
  readonly #fetch: Fetch;

  constructor(world: World) {
    this.#world = world;
    this.#lan = world.lan.join(this.name);
    this.#fetch = world.fetchAs(this.name);
    this.#lan.onAdvert((advert) => void this.#forge(advert));
  }

  get origin(): string {
    return `http://${this.ip}:7420`;
  }

  isOn(): boolean {
    return true;
  }

  listener(): Listener {
    return { answer: (request) => this.#answer(request), isAlive: () => true, onEnd: () => () => undefined };
  }

  async #forge(advert: Advert): Promise<void> {
    await this.#lan.advertise({ ...advert, epoch: advert.epoch + 1000, url: this.origin });
  }

  /** First the challenge as it came to a real node, which signs for no origin but its own; else a lie. */
  async #answer(request: Request): Promise<Response> {
    const { pathname, search, searchParams } = new URL(request.url);
    const [victim] = this.#world.machines;
    if (pathname !== '/v1/leader' || victim === undefined) return new Response('', { status: 404 });
    const passedOn = await this.#fetch(new Request(`${victim.origin}${pathname}${search}`)).catch(() => undefined);
    if (passedOn?.ok === true) return new Response(await passedOn.text(), { headers: JSON_TYPE });
    const lie = {
      leader_url: this.origin,
      node_id: this.name,
      epoch: 900,
      expires_at: '2030-01-01T00:00:00.000Z',
      expires_in_ms: 15_000,
      provisional: false,
      confirmed: true,
      nodes_heard: 99,
      proof: searchParams.get('challenge') ?? '',
      proved_by: this.name,
      proved_by_instance: this.name,
      epoch_seen: 900,
      eligible: true,
    };
    return Response.json(lie);
  }
}
