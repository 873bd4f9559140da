import { describe, expect, test } from 'vitest';
import { ProcessError, type ProcessExit, type ProcessHost, type ProcessRef, type RunningProcess } from '../../shared/ports/process-host.ts';

/** One machine under test. */
export interface ProcessWorld {
  /** A new host over the machine, as a node has after a crash. */
  open(): ProcessHost;
  /** Lets things happen until `look` is true; fails the test when they do not. */
  until(look: () => boolean | Promise<boolean>): Promise<void>;
  /** Waits until a service that ignores SIGTERM or has a child really does. */
  ready(name: string): Promise<void>;
  /** Kills the process alone, past its group and past every host. */
  kill(ref: ProcessRef): void;
  readonly commands: {
    /** Lives until it is signalled. */
    readonly stay: readonly string[];
    /** Ends by itself with code 3. */
    readonly exit3: readonly string[];
    readonly ignore_sigterm: readonly string[];
    /** Has a child that outlives it. */
    readonly with_child: readonly string[];
    /** Names a program that is not there. */
    readonly missing: readonly string[];
  };
}

const HASH = 'a'.repeat(64);
const spec = (name: string, command: readonly string[]) => ({ name, version: '1.0', spec_hash: HASH, command, env: {} });

/** Runs the contract of `ProcessHost`; `open` makes a machine, hands it over, and clears it away. */
export function processHostSuite(open: (use: (world: ProcessWorld) => Promise<void>) => Promise<void>): void {
  const on = (name: string, use: (world: ProcessWorld) => Promise<void>) => test(name, () => open(use));
  describe('start and list', () => startCases(on));
  describe('the end of a process', () => endCases(on));
  describe('after a crash of the node', () => crashCases(on));
}

type On = (name: string, use: (world: ProcessWorld) => Promise<void>) => void;

function startCases(on: On): void {
  on('lists what was started, with its name, version and hash', async ({ open, commands }) => {
    const host = open();
    const ref = await host.start(spec('api', commands.stay));
    expect(await host.list()).toEqual([{ ref, name: 'api', version: '1.0', spec_hash: HASH, orphaned: false }]);
  });

  on('lists the oldest first', async ({ open, commands }) => {
    const host = open();
    const refs = [];
    for (const name of ['b', 'a', 'c']) refs.push(await host.start(spec(name, commands.stay)));
    expect((await host.list()).map(({ ref }) => ref)).toEqual(refs);
  });

  on('rejects a program that is not there', async ({ open, commands }) => {
    const host = open();
    const error = await host.start(spec('api', commands.missing)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ProcessError);
    expect(error).toMatchObject({ kind: 'not_found', message: expect.stringContaining('api') });
    expect(await host.list()).toEqual([]);
  });
}

function endCases(on: On): void {
  on('tells the exit code of its child and lists it no more', async ({ open, until, commands }) => {
    const host = open();
    const exit = follow(host, await host.start(spec('api', commands.exit3)));
    await until(() => exit.how !== undefined);
    expect(exit.how).toEqual({ code: 3 });
    expect(await host.list()).toEqual([]);
  });

  on('SIGTERM ends a process, and the exit names the signal', async ({ open, until, commands }) => {
    const host = open();
    const ref = await host.start(spec('api', commands.stay));
    const exit = follow(host, ref);
    await host.signal(ref, 'SIGTERM');
    await until(() => exit.how !== undefined);
    expect(exit.how).toEqual({ signal: 'SIGTERM' });
  });

  on('SIGKILL ends one that ignores SIGTERM', async ({ open, until, ready, commands }) => {
    const host = open();
    const ref = await host.start(spec('api', commands.ignore_sigterm));
    await ready('api');
    await host.signal(ref, 'SIGTERM');
    expect((await host.list()).length).toBe(1);
    await host.signal(ref, 'SIGKILL');
    await until(async () => (await host.list()).length === 0);
  });

  on('a signal to what is gone is no error', async ({ open, until, commands }) => {
    const host = open();
    const ref = await host.start(spec('api', commands.exit3));
    await until(async () => (await host.list()).length === 0);
    await host.signal(ref, 'SIGTERM');
    await host.signal(ref, 'SIGKILL');
  });

  on('another process with the same pid is neither signalled nor waited for', async ({ open, commands }) => {
    const host = open();
    const ref = await host.start(spec('api', commands.stay));
    const reused = { pid: ref.pid, started: 'long ago' };
    await host.signal(reused, 'SIGKILL');
    expect(await open().exited(reused)).toEqual({});
    expect((await host.list()).map((one) => one.ref)).toEqual([ref]);
  });

  on(
    'children that outlive their process are listed as orphaned until the group is killed',
    async ({ open, until, ready, kill, commands }) => {
      const host = open();
      const ref = await host.start(spec('api', commands.with_child));
      await host.start(spec('other', commands.stay));
      await ready('api');
      kill(ref);
      await until(async () => (await find(host, ref))?.orphaned === true);
      expect(await find(open(), ref)).toMatchObject({ name: 'api', version: '1.0', orphaned: true });
      await host.signal(ref, 'SIGKILL');
      await until(async () => (await find(host, ref)) === undefined);
      expect((await host.list()).map(({ name }) => name)).toEqual(['other']);
    },
  );
}

function crashCases(on: On): void {
  on('the next host finds the same process', async ({ open, commands }) => {
    const ref = await open().start(spec('api', commands.stay));
    expect(await open().list()).toEqual([{ ref, name: 'api', version: '1.0', spec_hash: HASH, orphaned: false }]);
  });

  on('the next host sees its end, without knowing how it ended', async ({ open, until, commands }) => {
    const ref = await open().start(spec('api', commands.stay));
    const next = open();
    const exit = follow(next, ref);
    await next.signal(ref, 'SIGKILL');
    await until(() => exit.how !== undefined);
    expect(exit.how).toEqual({});
    expect(await next.list()).toEqual([]);
  });
}

function follow(host: ProcessHost, ref: ProcessRef): { how?: ProcessExit } {
  const seen: { how?: ProcessExit } = {};
  void host.exited(ref).then((how) => {
    seen.how = how;
  });
  return seen;
}

async function find(host: ProcessHost, ref: ProcessRef): Promise<RunningProcess | undefined> {
  return (await host.list()).find((one) => one.ref.pid === ref.pid);
}
