-- A site's leader tells the cloud of its whole site in one call an interval, which writes its lease and what has changed.

-- Who speaks for a node. Null: the node did so itself last. Else the epoch under which its site's leader speaks for it; 0
-- when one did and does not any more. While it is the epoch of the site's uplink, the node was heard as of `uplinked_at`.
alter table nodes add column uplink_epoch integer;

-- The epoch under which the uplink of the site was last heard, and when. A claim leaves both: until the new leader speaks,
-- the nodes of the one before were last heard with that one.
alter table leases add column uplink_epoch integer;
alter table leases add column uplinked_at integer;

-- Names the leader's run of the uplink, and how many of its calls were taken: who has missed one knows less than that leader believes.
alter table leases add column uplink_session text;
alter table leases add column uplink_seq integer;
