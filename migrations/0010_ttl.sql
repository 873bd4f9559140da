-- The TTL that a node lives by, as its last heartbeat said: it comes a third of that apart. Null from a node that does not say.
alter table nodes add column ttl_seconds real;

-- For how long the lease was granted the last time, milliseconds. Its holder may count on that, also when the TTL is shorter by now.
alter table leases add column granted_ms integer not null default 0;

-- The TTL that the whole database needs to stay within its write budget, since all its fleets write to the one. Its only
-- row has the fleet '*', which is no name of a fleet.
create table pace (
  fleet text not null,
  -- 0 when any TTL does.
  stretch_seconds integer not null,
  -- At the last count: who writes at each interval, how many rows were read to count them, and when.
  writers integer not null,
  counted_rows integer not null,
  counted_at integer not null,
  primary key (fleet)
) without rowid;
