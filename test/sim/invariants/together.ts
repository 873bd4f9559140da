import type { Health } from '../../../shared/contract/status.ts';
import type { Machine } from '../machine.ts';
import type { World } from '../world.ts';
import { heldServices } from './services.ts';

/** Why a world in which nothing is wrong any more has not come together, or undefined when it has: one leader, all nodes on it, the same documents, all applied. */
export async function whyNotTogether(world: World): Promise<string | undefined> {
  const whys: string[] = [...whyNotOneLeader(world), ...whyNotSameDocuments(world), ...whyWrongServices(world)];
  for (const machine of world.machines) whys.push(...(await whyNotApplied(machine)));
  return whys.length === 0 ? undefined : whys.join('; ');
}

function whyNotOneLeader(world: World): string[] {
  const leaders = world.machines.filter(({ state }) => state?.leads === true);
  const [leader] = leaders;
  if (leader?.state === undefined || leaders.length > 1)
    return [`${leaders.length} leaders: ${leaders.map(({ name }) => name).join(', ')}`];
  const { epoch, node_id, confirmed, provisional } = leader.state;
  const strays = world.machines.filter(
    ({ state }) => state?.epoch !== epoch || state.leader_node_id !== node_id || state.phase !== 'running',
  );
  const whys = strays.map(
    ({ name, state }) =>
      `${name} is ${state?.phase ?? 'down'} and follows ${state?.epoch}/${state?.leader_node_id} instead of ${epoch}/${leader.name}`,
  );
  if (world.cloud !== undefined && (!confirmed || provisional)) whys.push(`${leader.name} leads unconfirmed though the cloud is there`);
  return whys;
}

/** By generation and hash, at each node and in the store of each Supervisor that decides. */
function whyNotSameDocuments(world: World): string[] {
  return (['plan', 'profile'] as const).flatMap((kind) => {
    const held = world.machines.map(({ name, disk }) => [name, versionIn(disk.texts.get(`${kind}.json`))] as const);
    const versions = new Set(held.map(([, version]) => version));
    return versions.size === 1 ? [] : [`${kind}s differ: ${held.map(([name, version]) => `${name} ${version}`).join(', ')}`];
  });
}

function versionIn(text: string | undefined): string {
  if (text === undefined) return 'none';
  const { document } = JSON.parse(text) as { document: { generation: number; hash: string; emergency?: { n: number } } };
  return `${document.generation} ${document.hash.slice(0, 8)} ${document.emergency?.n ?? ''}`.trim();
}

/** Each service runs just where the plan has it. */
function whyWrongServices({ machines }: World): string[] {
  const plan = heldServices(machines[0]?.disk.texts.get('plan.json')) ?? [];
  return plan.flatMap(({ name, version, placement }) => {
    const { roles = [], count } = placement ?? {};
    const fit = machines.filter(({ state }) => roles.length === 0 || (state !== undefined && roles.includes(state.role)));
    const running = machines.filter(({ services }) => services.alive(name).some((process) => process.version === version));
    const wrong = running.filter((machine) => !fit.includes(machine));
    const wanted = Math.min(fit.length, count ?? fit.length);
    if (wrong.length === 0 && running.length === wanted) return [];
    return [
      `${name} ${version} runs on ${running.map((machine) => machine.name).join(', ') || 'no machine'} and should on ${wanted} of ${fit.map((machine) => machine.name).join(', ')}`,
    ];
  });
}

async function whyNotApplied(machine: Machine): Promise<string[]> {
  const health = (await (await machine.ask('/healthz')).json()) as Health;
  const failed = Object.entries(health.components ?? {}).filter(([, { status }]) => status === 'failed' || status === 'pending');
  return failed.map(([component, { status, message }]) => `${component} of ${machine.name} is ${status}: ${message}`);
}
