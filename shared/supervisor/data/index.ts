import type { Caller } from '../auth.ts';
import type { Context } from '../context.ts';
import { ProblemError } from '../problem.ts';
import type { RawCall, Route } from '../route.ts';
import { messageRoutes } from './messages.ts';
import { objectRoutes } from './objects.ts';
import type { DataPorts } from './ports.ts';
import { inWords } from './problems.ts';
import { vectorRoutes } from './vectors.ts';

/** The data API: the ports of a node for the services on its machine, so that these run unchanged on any backend. */
export function dataRoutes({ options: { data, self } }: Context): Route[] {
  if (data === undefined) return [];
  const routes = [...objectRoutes(data.storage), ...messageRoutes(data.bus), ...vectorRoutes(data.vector)];
  return routes.map((route) => ({
    ...route,
    async run(call) {
      refuseStrangers(data, self?.node_id, call);
      return inWords(async () => route.run(call), call.request);
    },
  }));
}

/** What a proxy adds to what it passes on. */
const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/** A token that leaks is of no use on another machine, and one of another node's service is none of ours. */
function refuseStrangers(data: DataPorts, node_id: string | undefined, { caller, request }: RawCall<Caller | undefined>): void {
  if (!data.isFromHere(request)) {
    throw new ProblemError(
      'forbidden',
      'objects, messages and vectors are for the services on the machine of the node: ask the node there',
    );
  }
  const proxied = PROXY_HEADERS.find((name) => request.headers.has(name));
  if (proxied !== undefined) {
    throw new ProblemError(
      'forbidden',
      `a proxy passed this on (it has the header ${proxied}), and objects, messages and vectors are for the services on the machine of the node: ` +
        'ask the node itself, at BOOTPLANE_URL, and let the proxy not pass these paths on',
    );
  }
  if (caller?.scope === 'service' && caller.node_id !== node_id) {
    throw new ProblemError('forbidden', `the token is for a service of node ${caller.node_id}, and this is node ${node_id ?? '(none)'}`);
  }
}
