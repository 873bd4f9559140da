-- The fleets of a cloud beside the one of its settings. A fleet key is kept sealed (AES-256-GCM) under a secret that is
-- not in this database.
create table fleets (
  fleet text not null,
  sealed_key text not null,
  -- Of the key that signs documents: shown without opening anything.
  key_id text not null,
  -- The fleet key that the present one replaced, and until when it holds beside it.
  previous_sealed_key text,
  previous_until integer,
  -- Public keys of documents that were signed before: history can be read by them, and nothing new is believed.
  retired_document_keys text not null,
  created_at integer not null,
  rotated_at integer,
  -- No credential of the fleet holds from then on. Its rows stay.
  closed_at integer,
  primary key (fleet)
) without rowid;

-- Keys that operators issue. The key itself is nowhere: a credential names its row, and its SHA-256 has to be this hash.
create table issued_keys (
  fleet text not null,
  key_id text not null,
  hash text not null,
  scope text not null,
  label text,
  node_id text,
  site text,
  max_uses integer,
  created_at integer not null,
  created_by text not null,
  expires_at integer,
  -- Written at most once an hour.
  last_used_at integer,
  revoked_at integer,
  primary key (fleet, key_id)
) without rowid;

-- The nodes that a join key has let in: a use is a row here, so a node that asks again uses nothing up.
create table join_uses (
  fleet text not null,
  key_id text not null,
  node_id text not null,
  at integer not null,
  primary key (fleet, key_id, node_id)
) without rowid;
