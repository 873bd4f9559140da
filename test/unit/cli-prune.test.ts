import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { problem } from '../../shared/contract/problem.ts';
import type { PruneAction, PruneComponent, PrunePreview, PruneResult } from '../../shared/contract/prune.ts';
import { type Site, startSite } from '../support/cli.ts';

const PATH = '/v1/reconcile/prune';
const HASH = `${'0123456789ab'.repeat(5)}0123`;
const QUEUE: PruneAction = {
  kind: 'remove-queue',
  safety: 'destroy',
  subject: 'queue frames',
  before: { name: 'frames' },
  detail: 'the profile no longer names it',
  evidence: { empty: false, holds: { messages: 3, unacked: 1 } },
};
const TAG: PruneAction = {
  kind: 'remove-tag',
  safety: 'destroy',
  subject: 'tag team of bucket captures',
  evidence: { empty: true, holds: {} },
};
const BUCKET: PruneAction = {
  ...TAG,
  kind: 'remove-bucket',
  subject: 'bucket big',
  evidence: { empty: false, holds: { objects: 10_000, bytes: 1, older_versions: 0 }, at_least: true },
};
const broker = (actions: PruneAction[], more: Partial<PruneComponent> = {}): PruneComponent => {
  return { component: 'broker', backend: 'local', identity: '/data/bus.sqlite', actions, kept: [], ...more };
};
const preview = (components: PruneComponent[], more: Partial<PrunePreview> = {}): PrunePreview => {
  return {
    node_id: 'n1',
    generation: 7,
    profile_hash: 'c'.repeat(64),
    hash: HASH,
    expires_in_seconds: 600,
    refused: [],
    components,
    ...more,
  };
};

let site: Site;
let posted: unknown[];
beforeEach(async () => {
  site = await startSite();
  posted = [];
});
afterEach(() => site.close());

function answerWith(outcome: PruneResult['results'][number]['outcome'], message?: string): void {
  const results = [
    { ...QUEUE, component: 'broker', backend: 'local', identity: 'x', outcome, duration_ms: 1, ...(message && { message }) },
  ];
  site.own.set(`POST ${PATH}`, async (request: Request) => {
    posted.push(await request.json());
    return Response.json({ node_id: 'n1', generation: 7, hash: HASH, approved_by: 'fleet-key (operator)', results });
  });
}

describe('bootplane prune', () => {
  it('shows each action with what it would lose, what stays, and how to approve exactly that; exits with 2', async () => {
    const kept = [{ subject: 'exchange old', detail: 'somebody made it anew' }];
    site.own.set(`GET ${PATH}`, preview([broker([QUEUE, TAG, BUCKET], { kept })]));
    const { code, out, err } = await site.run(['prune']);
    expect(code).toBe(2);
    expect(err).toBe('');
    expect(out).toContain(
      'broker (local at /data/bus.sqlite):\n  destroy  queue frames  remove-queue\n      - {"name":"frames"}\n' +
        '      the profile no longer names it\n      holds 3 messages, 1 message handed out\n',
    );
    expect(out).toContain('  destroy  tag team of bucket captures  remove-tag\n      nothing is lost by it\n');
    expect(out).toContain('      holds at least 10000 objects, 1 byte\n');
    expect(out).toContain('  stays  exchange old\n      somebody made it anew\n');
    expect(out).toContain(
      '3 actions by profile generation 7, 2 of them not, or not surely, empty and unused, which stay without --include-non-empty.\n',
    );
    expect(out).toContain(`within 10 minutes:\n  bootplane prune --approve ${HASH}\nor, with what is not empty or is used:\n`);
    expect(site.asked).toEqual([`GET ${PATH}`]);
  });

  it('shows who uses a queue: consumers, those who take messages one by one, and that nobody can tell', async () => {
    const use = (evidence: Partial<PruneAction['evidence']>) => ({
      ...QUEUE,
      evidence: { empty: true, holds: { messages: 0 }, ...evidence },
    });
    const lately = { seconds: 600, came: 1, taken: 1, asked_in_vain: 0 };
    const actions = [
      use({ used: true, use: { consumers: 0, lately: { ...lately, came: 40, taken: 39, asked_in_vain: 7 } } }),
      use({ used: true, use: { consumers: 2, unread: 'this broker keeps no message rates' } }),
      use({ use: { consumers: 0, lately: { ...lately, taken: 0 } } }),
    ];
    site.own.set(`GET ${PATH}`, preview([broker(actions)]));
    const { out } = await site.run(['prune']);
    expect(out).toContain(
      '      in use: in the last 10 minutes 40 messages came and 39 went out, and 7 times somebody asked for one in vain\n',
    );
    expect(out).toContain(
      '      in use: 2 consumers are attached, so it stays\n      perhaps in use: this broker keeps no message rates\n',
    );
    expect(out).toContain('      not in use: in the last 10 minutes 1 message came and 0 went out\n');
    expect(out).toContain('2 of them not, or not surely, empty and unused, which stay without --include-non-empty.');
  });

  it('exits with 0 when there is nothing to remove, and prints what came with --json', async () => {
    const { hash: _, expires_in_seconds: __, ...nothing } = preview([broker([])]);
    site.own.set(`GET ${PATH}`, nothing);
    expect(await site.run(['prune'])).toEqual({ code: 0, out: 'broker (local at /data/bus.sqlite): nothing to remove\n', err: '' });
    expect(JSON.parse((await site.run(['prune', '--json'])).out)).toEqual(nothing);
  });

  it('says why nothing may be removed, as a whole or on one backend', async () => {
    const { hash: _, ...refused } = preview(
      [broker([], { closed: 'the external is away' }), broker([], { failed: 'refused' }), broker([], { reconciled_by: 'n9' })],
      { refused: ['the leader is provisional'] },
    );
    site.own.set(`GET ${PATH}`, refused);
    const { code, out } = await site.run(['prune']);
    expect(code).toBe(1);
    expect(out).toContain('nothing may be removed there now: the external is away');
    expect(out).toContain("its actual state can't be read: refused");
    expect(out).toContain('left to node n9, which leads the site and reconciles it: ask there');
    expect(out).toContain('Nothing may be removed now: the leader is provisional');
    expect(out).not.toContain('--approve');
  });

  it('removes what is approved by its whole hash, without a look before', async () => {
    answerWith('applied');
    const { code, out } = await site.run(['prune', '--approve', HASH]);
    expect(code).toBe(0);
    expect(posted).toEqual([{ hash: HASH, include_non_empty: false }]);
    expect(out).toBe('  done  broker (local)  queue frames  remove-queue\n1 of 1 done, approved by fleet-key (operator)\n');
    expect(site.asked).toEqual([`POST ${PATH}`]);
    await site.run(['prune', '--approve', HASH, '--include-non-empty']);
    expect(posted.at(-1)).toEqual({ hash: HASH, include_non_empty: true });
    expect(JSON.parse((await site.run(['prune', '--approve', HASH, '--json'])).out)).toMatchObject({ hash: HASH });
  });

  it('exits with 2 when something stays, and with 1 when something failed', async () => {
    answerWith('kept', 'it is not empty');
    expect(await site.run(['prune', '--approve', HASH])).toMatchObject({
      code: 2,
      out: expect.stringContaining('stays  broker (local)  queue frames'),
    });
    answerWith('failed', 'no answer');
    expect(await site.run(['prune', '--approve', HASH])).toMatchObject({
      code: 1,
      out: expect.stringContaining('remove-queue: no answer'),
    });
  });

  it('a refused approval says what to do', async () => {
    const body = problem('prune_changed', 'nothing was removed: 2 would be removed now');
    const headers = { 'content-type': 'application/problem+json' };
    site.own.set(`POST ${PATH}`, () => new Response(JSON.stringify(body), { status: 409, headers }));
    const { code, err } = await site.run(['prune', '--approve', HASH]);
    expect(code).toBe(1);
    expect(err).toContain('nothing was removed: 2 would be removed now (prune_changed)\nSee what would go now with `bootplane prune`');
  });

  it('takes no part of a hash on the command line', async () => {
    const { code, err } = await site.run(['prune', '--approve', HASH.slice(0, 12)]);
    expect(code).toBe(64);
    expect(err).toContain('the whole hash');
    expect(site.asked).toEqual([]);
  });

  it('on a terminal it asks for the short hash, and takes anything else for no', async () => {
    site.own.set(`GET ${PATH}`, preview([broker([QUEUE])]));
    answerWith('applied');
    const questions: string[] = [];
    const ask = (answer: string) => async (question: string) => {
      questions.push(question);
      return answer;
    };
    for (const answer of ['', 'y', 'yes', HASH.slice(0, 8)]) {
      expect(await site.run(['prune'], { ask: ask(answer) })).toMatchObject({
        code: 1,
        err: expect.stringContaining('nothing was removed'),
      });
    }
    expect(posted).toEqual([]);
    expect(await site.run(['prune', '--include-non-empty'], { ask: ask(` ${HASH.slice(0, 12)}\n`) })).toMatchObject({ code: 0 });
    expect(posted).toEqual([{ hash: HASH, include_non_empty: true }]);
    expect(questions[0]).toContain(HASH.slice(0, 12));
    expect((await site.run(['prune', '--json'], { ask: ask(HASH.slice(0, 12)) })).code).toBe(2);
    expect(posted).toHaveLength(1);
  });
});
