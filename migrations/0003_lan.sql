-- 0 for a node that may not lead its site: it is no successor.
alter table nodes add column lead integer not null default 1;

-- How a holder gave its lease back: `released` when somebody is to take over, `yielded` when another leads
-- already. Null while it is held, and when it ran out by itself.
alter table leases add column ended text;

-- Versions that lost to another: 1 while the conflict waits for a person, 2 once somebody has published since.
create index open_conflicts on documents (fleet, kind) where conflict = 1;

-- Grows when a service has another place than before, so that nodes which wait for a place need not ask for one.
alter table placements add column revision integer not null default 0;
