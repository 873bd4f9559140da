import { describe, expect, it } from 'vitest';
import { Health, SiteState } from '../../../shared/contract/status.ts';
import { notesOn } from '../../../shared/dashboard/public/notes.js';

const state = (more: object = {}) =>
  SiteState.parse({
    fleet: 'default',
    site: 'default',
    nodes: { online: 1, late: 0, lost: 0, left: 0 },
    desired: {},
    services: [],
    components: {},
    devices: 0,
    ...more,
  });
const LEADER = { node_id: 'a', leader_url: 'http://192.0.2.1:7420', epoch: 3 };
const AT = '2026-03-01T12:00:00Z';

describe('what the dashboard says that somebody should look at', () => {
  it('is nothing where all is well, or nothing is known', () => {
    expect(notesOn(state({ leader: { ...LEADER, provisional: false } }), Health.parse({ status: 'ok' }))).toEqual([]);
    expect(notesOn(undefined, undefined)).toEqual([]);
  });

  it.each([
    [{ leader: { ...LEADER, provisional: true } }, 'without the confirmation of the cloud'],
    [{ conflicts: { plan: 1, profile: 1 } }, '2 versions lost'],
    [
      {
        emergencies: [
          { kind: 'plan', site: 'default', base_generation: 7, n: 2, hash: 'a'.repeat(64), published_by: 'jane', published_at: AT },
        ],
      },
      'emergency version 2 of its plan, made by jane on generation 7',
    ],
  ])('%o', (more, words) => expect(notesOn(state(more), undefined)).toEqual([expect.stringContaining(words)]));

  it('tells what a node waits for, what it could not use, and what did not go over', () => {
    const health = Health.parse({
      status: 'degraded',
      waiting_for: ['a leader'],
      set_aside: [{ file: 'plan.json', why: 'its hash is wrong', kept_as: 'plan.json.damaged', at: AT }],
      backlog: {
        broker: { presence: 'away', reason: 'no answer', waiting: 4, forwarded: 0, conflicts: 1 },
        storage: { presence: 'present', waiting: 0, forwarded: 9, conflicts: 0 },
      },
    });
    expect(notesOn(undefined, health)).toEqual([
      'This node waits for a leader.',
      'plan.json could not be used: its hash is wrong. It is kept as plan.json.damaged.',
      'The external broker is away (no answer); 4 wait here to go over.',
      expect.stringContaining('1 thing of broker did not go over: bootplane backlog'),
    ]);
  });
});
