import type { ActionView, Safety } from './types.ts';

/**
 * A component's closed list of actions, as an interface: kind → its safety and the data it carries.
 * Everything else (the union, the executors) follows from it, so that a new kind does not compile
 * until it is handled everywhere.
 */
export type Catalogue<C> = { readonly [K in keyof C]: { readonly safety: Safety; readonly data: unknown } };

/** One action of a catalogue, or the union of all of them. */
export type ActionOf<C extends Catalogue<C>, K extends keyof C & string = keyof C & string> = {
  [P in K]: ActionView & {
    readonly kind: P;
    readonly safety: C[P]['safety'];
    readonly data: C[P]['data'];
    /** Subjects that must not have failed earlier in the same run. */
    readonly needs: readonly string[];
    readonly probe?: Probe;
  };
}[K];

/** Set on an action that only finds out, where nobody can tell what is there: that it has to run is no sign of a change. */
export type Probe = true;

/** The kinds that may run by themselves. */
export type ExecutableKind<C extends Catalogue<C>> = {
  [K in keyof C & string]: C[K]['safety'] extends 'add' | 'update' ? K : never;
}[keyof C & string];

/** One executor for each `add` and `update` kind. One for an `incompatible` or `destroy` kind does not compile. */
export type Executors<C extends Catalogue<C>, Port> = {
  readonly [K in ExecutableKind<C>]: (port: Port, data: C[K]['data']) => Promise<void>;
} & { readonly [K in Exclude<keyof C & string, ExecutableKind<C>>]?: never };

/** An action with what runs it; without `execute` it is shown and skipped. Its signal aborts when the run no longer waits for it. */
export interface PlannedAction {
  readonly view: ActionView;
  readonly needs: readonly string[];
  readonly probe?: Probe;
  readonly execute?: (signal: AbortSignal) => Promise<void>;
}

/** Gives each action its executor, if its kind has one. `ended`: called after each that ended well, before it counts as done. */
export function plan<C extends Catalogue<C>, Port>(
  actions: readonly ActionOf<C>[],
  executors: Executors<C, Port>,
  port: Port,
  ended: (action: ActionOf<C>) => Promise<void> = async () => undefined,
): PlannedAction[] {
  // The one place where the compiler cannot follow that an action's kind picks the executor for its own data.
  const byKind = executors as Readonly<Record<string, ((port: Port, data: unknown) => Promise<void>) | undefined>>;
  return actions.map((action) => {
    const execute = byKind[action.kind];
    const { needs, probe } = action;
    const planned = { view: toView(action), needs, ...(probe === undefined ? {} : { probe }) };
    return execute === undefined ? planned : { ...planned, execute: () => execute(port, action.data).then(() => ended(action)) };
  });
}

/** What people see of an action; absent stays absent. */
export function toView(action: ActionView): ActionView {
  const { kind, safety, subject, before, after, detail } = action;
  return {
    kind,
    safety,
    subject,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
    ...(detail === undefined ? {} : { detail }),
  };
}
