import type { PlannedService } from '../../shared/contract/plan.ts';

export type ServiceInput = Pick<PlannedService, 'name' | 'version' | 'command'> & {
  readonly placement?: Partial<PlannedService['placement']>;
};

export interface PlanInput {
  readonly ttl_seconds: number;
  readonly services: readonly ServiceInput[];
}

/** All that people have published in a world, whether a Supervisor took it or not. */
export class Published {
  readonly plans: PlanInput[] = [];
  readonly profiles: unknown[] = [];

  services(): ServiceInput[] {
    return this.plans.flatMap(({ services }) => services);
  }

  /** The lowest count that any version gave a service; undefined where it never had one. */
  lowestCount(name: string): number | undefined {
    const counts = this.services()
      .flatMap((service) => (service.name === name ? [service.placement?.count ?? []] : []))
      .flat();
    return counts.length === 0 ? undefined : Math.min(...counts);
  }
}
