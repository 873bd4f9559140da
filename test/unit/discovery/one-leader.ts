import { expect } from 'vitest';
import type { Fleet, FleetMachine } from './fleet.ts';

/** Expects that one of the machines leads and that all of them know it, by node, epoch and URL; returns it. */
export function oneLeader(fleet: Fleet, machines: readonly FleetMachine[]): FleetMachine {
  const leaders = machines.filter(({ state }) => state.leads);
  expect(
    leaders.map(({ name }) => name),
    fleet.standing(),
  ).toHaveLength(1);
  const [leader] = leaders as [FleetMachine];
  const { node_id, url } = leader;
  for (const { state } of machines)
    expect(state, fleet.standing()).toMatchObject({ leader_node_id: node_id, epoch: leader.state.epoch, leader_url: url });
  return leader;
}
