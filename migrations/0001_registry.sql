-- The registry of a fleet. Every row carries its fleet, and its site where it belongs to a node or a
-- lease. Times are milliseconds since the Unix epoch. Tables are WITHOUT ROWID and keyed by what they
-- are looked up with, since D1 counts each index row that a write touches.

-- One row per node. `heard_at` and what a heartbeat reports are in no index.
create table nodes (
  fleet text not null,
  node_id text not null,
  site text not null,
  instance_id text,
  -- The instance that the last takeover put out, and when: one that still speaks a TTL later is a clone.
  displaced_instance_id text,
  displaced_at integer,
  role text not null,
  url text,
  host text not null,
  ip text not null,
  capabilities text not null,
  versions text not null,
  devices text not null,
  services_running text not null,
  metrics text,
  registered_at integer not null,
  heard_at integer not null,
  left_at integer,
  primary key (fleet, node_id)
) without rowid;

create index nodes_by_site on nodes (fleet, site, node_id);

-- One row per site. A released or lapsed lease keeps its row, so that the epoch never goes down.
create table leases (
  fleet text not null,
  site text not null,
  node_id text not null,
  url text not null,
  epoch integer not null,
  expires_at integer not null,
  -- 0 when the lease has just changed hands or lapsed, one more with each renewal.
  renewals integer not null,
  primary key (fleet, site)
) without rowid;

-- The head of each desired document. Publishing compares and swaps `generation` here; heartbeats read it.
create table desired (
  fleet text not null,
  kind text not null,
  generation integer not null,
  hash text not null,
  -- Of a Cluster Plan that sets one.
  ttl_seconds integer,
  primary key (fleet, kind)
) without rowid;

-- The event log. `seq` is the cursor. `dedupe` makes a repeated report count once.
create table events (
  fleet text not null,
  seq integer not null,
  type text not null,
  site text not null,
  node_id text,
  at integer not null,
  dedupe text not null,
  data text not null,
  primary key (fleet, seq)
) without rowid;

create unique index events_by_dedupe on events (fleet, dedupe);

-- The last apply of each component of each node.
create table component_status (
  fleet text not null,
  node_id text not null,
  component text not null,
  status text not null,
  action text not null,
  generation integer not null,
  hash text not null,
  attempt integer not null,
  duration_ms real not null,
  message text,
  incompatible text not null,
  at integer not null,
  -- The event that it came with: an older one that arrives again changes nothing.
  seq integer not null,
  primary key (fleet, node_id, component)
) without rowid;
