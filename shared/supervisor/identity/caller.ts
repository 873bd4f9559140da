import type { NodeKeys } from '../../contract/fleet-keys.ts';

/**
 * What a credential allows. `node`: acting as its own node. `operator`: everything, for any node of the fleet.
 * `service`: the data API of its own node, and nothing else. `join`: asking for what a new node needs, and nothing else.
 */
export type Scope = Caller['scope'];

/** Where the keys of fleets come from. */
export interface Keyring {
  /** The fleet that a fleet key is compared with which names none; other credentials name their own. */
  readonly default_fleet: string;
  /** Asked at each verification: who reads them from a database keeps them for a while. */
  keysOf(fleet: string): Promise<NodeKeys | undefined>;
  /** Absent: nobody makes fleets here. */
  isAdmin?(credential: string): Promise<boolean>;
}

/** Who calls: somebody in a fleet, or an admin who has named none. */
export type Identity = Caller | AdminIdentity;

export interface AdminIdentity {
  readonly scope: 'admin';
}

export type Caller = FleetCaller | ServiceCaller | JoinCaller;

export interface FleetCaller {
  readonly fleet: string;
  readonly keys: NodeKeys;
  readonly scope: 'node' | 'viewer' | 'operator';
  /** Of a node's credential. */
  readonly node_id?: string;
  /** The key that was presented, if it was an issued one. */
  readonly issued?: IssuedBy;
  /** Whose token it was, as its issuer names the holder, if a JWT was presented. */
  readonly subject?: string;
  /**
   * `fleet_key`: that, or what is derived from it, was presented. `admin`: an admin has named this fleet. `admin_of_fleet`: an
   * admin of this fleet and no other. Absent for all others.
   */
  readonly rests_on?: 'fleet_key' | 'admin' | 'admin_of_fleet';
  /** When the credential ends, milliseconds since the Unix epoch, where who holds the fleet key has told it. */
  readonly expires_at?: number;
}

export interface ServiceCaller {
  readonly fleet: string;
  readonly keys: NodeKeys;
  readonly scope: 'service';
  /** The node that started the service. */
  readonly node_id: string;
  readonly service: string;
}

/** Of a key that lets new nodes in. */
export interface JoinCaller {
  readonly fleet: string;
  readonly keys: NodeKeys;
  readonly scope: 'join';
  readonly node_id?: never;
  readonly issued: IssuedBy;
}

export interface IssuedBy {
  readonly key_id: string;
  readonly label?: string;
  /** Milliseconds since the Unix epoch. */
  readonly expires_at?: number;
  /** The site of the nodes that a join key lets in. */
  readonly site?: string;
}
