-- Emergency versions: what a site published without the cloud that decides. They stand outside the sequence in
-- `documents`, hold for their site alone, and only until a newer version than the one they were published on is known.

-- `generation` and `parent` are those of the version that it was published on; `n` counts from 1. Two rows share a
-- number only after a site was cut in two: the greater hash stands. Nothing here is ever changed or deleted.
create table emergencies (
  fleet text not null,
  kind text not null,
  site text not null,
  generation integer not null,
  n integer not null,
  hash text not null,
  parent text,
  published_by text not null,
  -- As it was signed.
  published_at text not null,
  epoch integer not null,
  key_id text not null,
  signature text not null,
  body text not null,
  primary key (fleet, kind, site, generation, n, hash)
) without rowid;
