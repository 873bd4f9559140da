-- The first epoch of those that the holder has led one after the other, without hearing of another leader in between.
-- What it placed before that is old knowledge: others may have placed since.
alter table leases add column since_epoch integer not null default 0;

update leases set since_epoch = epoch;
