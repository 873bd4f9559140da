import { CLOUD_URL } from '../cloud.ts';
import type { Invariant } from './invariant.ts';

/**
 * A node sends a credential only to itself, to the cloud (proved by https), and to origins whose node has
 * answered a challenge of this boot. A stranger that passes a challenge on has proved nothing.
 */
export const credentialsToProved: Invariant = ({ world, broken, count }) => {
  const proved = new Map<string, Set<string>>();
  return {
    onBoot: ({ name }) => void proved.set(name, new Set()),
    onRequest({ from, url, headers }) {
      const machine = world.machines.find(({ name }) => name === from);
      const carries = headers.has('authorization') || headers.has('x-api-key');
      if (!carries || machine === undefined) return;
      const { origin } = url;
      if (origin === CLOUD_URL || origin === machine.origin || url.hostname === '127.0.0.1') return;
      if (proved.get(from)?.has(origin) === true) return;
      broken('credentials only to the proved', `${from} sends a credential to ${origin}, which it has not proved`);
    },
    onAnswer({ from, to, url, headers }, status, body) {
      const isChallenge = url.pathname === '/v1/leader' && url.searchParams.has('challenge');
      if (!isChallenge || headers.has('authorization')) return;
      // It may be gone by the time its answer arrives: a copy that was taken away meanwhile has proved itself all the same.
      const isNode = proved.has(to);
      const hasProof = (status === 200 || status === 404) && body.includes('"proof":');
      count(`challenge ${isNode ? (hasProof ? 'proved' : 'not proved') : 'answered by a stranger'}`);
      if (isNode && hasProof) proved.get(from)?.add(url.origin);
    },
  };
};
