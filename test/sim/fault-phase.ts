import { drawFault, FAULTS, type FaultContext } from './faults.ts';
import { between } from './random.ts';

/** Between two faults, milliseconds: least and most. */
const BETWEEN: readonly [number, number] = [200, 6000];
/** How long a fault lasts where it ends by itself, milliseconds. */
const LASTS: readonly [number, number] = [300, 20_000];

/** Faults one after the other, several at a time, and in the end none. */
export class FaultPhase {
  readonly counts: Record<string, number> = {};
  readonly #context: FaultContext;
  readonly #undos = new Set<() => void>();

  constructor(context: FaultContext) {
    this.#context = context;
  }

  /** From `begin` until `end`, milliseconds of simulated time; then all is mended at once. */
  plan(begin: number, end: number): void {
    const { world, random } = this.#context;
    for (let at = begin; at < end; at += between(random, ...BETWEEN)) world.timeline.after(at, () => this.#strike());
    world.timeline.after(end, () => this.#heal());
  }

  #strike(): void {
    const { world, random } = this.#context;
    const name = drawFault(random);
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    const [, fault] = FAULTS[name];
    const undo = fault(this.#context);
    if (undo === undefined) return;
    this.#undos.add(undo);
    world.timeline.after(between(random, ...LASTS), () => {
      if (this.#undos.delete(undo)) undo();
    });
  }

  #heal(): void {
    const { world } = this.#context;
    world.say('network', 'all faults end');
    for (const undo of this.#undos) undo();
    this.#undos.clear();
    world.network.heal();
    for (const machine of world.machines) machine.boot();
  }
}
