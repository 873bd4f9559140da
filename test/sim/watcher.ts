import type { DiscoveryState } from '../../shared/discovery/types.ts';
import type { HttpDeps } from './http.ts';
import type { Machine, PortCall, ServiceEvent } from './machine.ts';

/** Looks on, and changes nothing: the invariants and the counting of what was covered. */
export interface Watcher extends Partial<Pick<HttpDeps, 'onRequest' | 'onArrival' | 'onAnswer'>> {
  onBoot?(machine: Machine): void;
  onEnd?(machine: Machine): void;
  /** After each event that may have changed how a node stands. */
  onState?(machine: Machine, state: DiscoveryState): void;
  /** Instead, after an event that cannot have changed how it stands: only time has passed. */
  onTime?(machine: Machine): void;
  onService?(machine: Machine, event: ServiceEvent): void;
  /** Before the call is made. */
  onPort?(machine: Machine, call: PortCall): void;
  onLog?(who: string, level: string, message: string): void;
}
