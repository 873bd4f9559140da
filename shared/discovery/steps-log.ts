import type { Component, ComponentStatus } from '../contract/status.ts';
import type { Log } from '../ports/log.ts';

/** Writes a boot step when it happens for the first time, and again when its outcome differs. */
export interface StepsLog {
  step(name: string, result: string, duration_ms: number): void;
  component(component: Component, status: ComponentStatus): void;
}

export function createStepsLog(log: Log): StepsLog {
  const told = new Map<string, string>();
  const isNews = (name: string, outcome: string) => {
    if (told.get(name) === outcome) return false;
    told.set(name, outcome);
    return true;
  };
  return {
    step(name, result, duration_ms) {
      if (isNews(name, result)) log.info(name, { step: true, result, duration_ms });
    },
    component(component, { status, message, generation, duration_ms }) {
      // Services pend while they start; anything else while its external is away.
      const isBad = status === 'failed' || (status === 'pending' && component !== 'services');
      const outcome = isBad ? `${status}: ${message}` : 'good';
      if (!isNews(component, `${generation} ${outcome}`)) return;
      const fields = { step: true, result: message === undefined ? status : `${status}: ${message}`, generation, duration_ms };
      if (isBad) log.warn(component, fields);
      else log.info(component, fields);
    },
  };
}
