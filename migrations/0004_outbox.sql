-- How far the event log of a fleet was put on the bus. The log is the outbox: an event is written with the change that
-- it tells of, and is published from there. A fleet without a row has had none published. Only nodes write here.
create table outbox (
  fleet text not null,
  -- The `seq` of the newest event that the bus has confirmed.
  published integer not null,
  primary key (fleet)
) without rowid;

-- What a node of before wrote was put on the bus as it happened: publishing begins with the next event.
insert into outbox (fleet, published) select fleet, max(seq) from events group by fleet;
