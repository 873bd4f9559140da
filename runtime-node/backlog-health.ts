import { type BacklogStatus, EnvironmentComponentName } from '../shared/contract/backlog.ts';
import type { Health } from '../shared/contract/status.ts';
import type { Backlog } from '../shared/ports/backlog.ts';
import type { Forwards } from '../shared/reconcile/fall-forward/types.ts';
import { nameOf } from '../shared/reconcile/part.ts';

const THINGS: Readonly<Record<EnvironmentComponentName, readonly [one: string, many: string]>> = {
  storage: ['object', 'objects'],
  broker: ['message', 'messages'],
  vector: ['vector', 'vectors'],
};

/** How the externals of a node stand, and in words what is not as it should be. */
export function backlogHealth(forwards: Forwards): { readonly backlog: NonNullable<Health['backlog']>; readonly waiting_for: string[] } {
  const backlog: Partial<Record<EnvironmentComponentName, BacklogStatus>> = {};
  const waiting_for: string[] = [];
  for (const component of EnvironmentComponentName.options) {
    const forward = forwards[component];
    if (forward === undefined) continue;
    const status = forward.status();
    backlog[component] = status;
    waiting_for.push(...troubles(component, nameOf(forward.external), status).map((trouble) => `${component}: ${trouble}`));
  }
  return { backlog, waiting_for };
}

/**
 * What waits for externals that are configured no more: nobody lets it go over, and whoever asks the one of now does not
 * find it. Messages go to any broker.
 */
export async function strandedIn(backlog: Pick<Backlog, 'elsewhere'>, forwards: Forwards): Promise<string[]> {
  const lines: string[] = [];
  for (const component of ['storage', 'vector'] as const) {
    const external = forwards[component]?.external;
    if (external === undefined) continue;
    for (const { identity, waiting } of await backlog.elsewhere({ component, identity: external.backend.identity })) {
      const wait = `${counted(component, waiting)} ${waiting === 1 ? 'waits' : 'wait'} on this node for ${identity}`;
      lines.push(
        `${component}: ${wait}, and ${nameOf(external)} is configured: configure that address again until all has gone over, or let it go to the one of now with \`bootplane backlog move\``,
      );
    }
  }
  return lines;
}

function troubles(
  component: EnvironmentComponentName,
  external: string,
  { presence, reason, waiting, conflicts }: BacklogStatus,
): string[] {
  const count = (number: number) => counted(component, number);
  const wait = waiting === 0 ? 'what is written waits on this node' : `${count(waiting)} ${waiting === 1 ? 'waits' : 'wait'} on this node`;
  const refused = `${count(conflicts)} did not go to ${external}, which holds something else in that place or refuses ${conflicts === 1 ? 'it' : 'them'}: \`bootplane backlog\` shows and ends ${conflicts === 1 ? 'it' : 'them'}`;
  const error = reason === undefined ? '' : ` answers with an error: ${reason}`;
  const going = `${count(waiting)} still ${waiting === 1 ? 'goes' : 'go'} to ${external}${error === '' ? '' : `, which${error}`}`;
  return [
    ...(presence === 'away' ? [`${external} is away (${reason ?? 'it does not answer'}): ${wait}`] : []),
    ...(presence !== 'away' && waiting > 0 ? [going] : []),
    ...(presence !== 'away' && waiting === 0 && error !== '' ? [`${external}${error}`] : []),
    ...(conflicts > 0 ? [refused] : []),
  ];
}

/** How many of what a component keeps, in words. */
function counted(component: EnvironmentComponentName, number: number): string {
  return `${number} ${THINGS[component][number === 1 ? 0 : 1]}`;
}
