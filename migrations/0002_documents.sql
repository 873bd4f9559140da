-- The versions of the desired documents, and where services were placed from the current plan.

-- One row per version. `desired` names the current one. Two versions share a generation only after a
-- partition; the one that lost is a conflict. Nothing here is ever changed or, but for a replaced
-- seed, deleted. `body` comes last, so that a list of versions reads none of it.
create table documents (
  fleet text not null,
  kind text not null,
  generation integer not null,
  hash text not null,
  parent text,
  published_by text not null,
  -- As it was signed.
  published_at text not null,
  epoch integer not null,
  key_id text not null,
  signature text not null,
  conflict integer not null,
  body text not null,
  primary key (fleet, kind, generation, hash)
) without rowid;

-- One row per site: what the plan answers of its nodes are made from. Computed again when the plan or
-- the leader changed, and once per TTL. `placed` names the nodes of each service that has a count.
create table placements (
  fleet text not null,
  site text not null,
  plan_hash text not null,
  epoch integer not null,
  leader_node_id text not null,
  -- 1 when this leader took over from another and may not have heard everybody yet.
  takeover integer not null,
  computed_at integer not null,
  placed text not null,
  proxies text not null,
  successors text not null,
  primary key (fleet, site)
) without rowid;
