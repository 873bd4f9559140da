import type { StepResult } from './located.ts';
import type { DiscoveryDeps } from './types.ts';

/** The two steps on the local network have their place here; this version does not take them, and the trace says so. */
export function locateLan(step: 'mdns' | 'peers', { config, lan }: DiscoveryDeps): StepResult {
  if (step === 'mdns' && lan === undefined)
    return { outcome: 'off', detail: 'BOOTPLANE_MDNS is off, or this version has no multicast here' };
  if (step === 'peers' && config.peers.length === 0) return { outcome: 'off', detail: 'BOOTPLANE_PEERS is not set' };
  return { outcome: 'off', detail: 'not available in this version of bootplane' };
}
