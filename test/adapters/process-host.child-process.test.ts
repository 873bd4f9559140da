import { readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { procTable, psTable } from '../../runtime-node/adapters/child-process-table.ts';
import { processHostSuite } from '../conformance/process-host.suite.ts';
import { until, withProcesses } from '../support/process-world.ts';

const commands = {
  stay: ['sleep', '600'],
  exit3: ['sh', '-c', 'exit 3'],
  ignore_sigterm: ['sh', '-c', "trap '' TERM; echo ready; while :; do sleep 1; done"],
  with_child: ['sh', '-c', 'sleep 600 & echo ready; wait'],
  missing: ['no-such-program-anywhere'],
};
const spec = (command: readonly string[], changes: object = {}) => ({
  name: 'api',
  version: '1 : é%',
  spec_hash: 'b'.repeat(64),
  command,
  env: {},
  ...changes,
});
const on_linux = process.platform === 'linux';
const as_root = process.getuid?.() === 0;

describe('the process host of the machine', () => {
  processHostSuite((use) =>
    withProcesses(({ open, data_dir }) =>
      use({
        open,
        until,
        ready: (name) => until(() => readFileSync(join(data_dir, `logs/${name}.log`), 'utf8').includes('ready')),
        kill: ({ pid }) => process.kill(pid, 'SIGKILL'),
        commands,
      }),
    ),
  );

  test("gives a clean environment: the plan's, and what every program expects", async () => {
    process.env.SECRET_OF_THE_NODE = 'x';
    await withProcesses(async ({ open, data_dir }) => {
      const host = open();
      await host.exited(await host.start(spec(['env'], { env: { PORT: '80' } })));
      const lines = (await readFile(join(data_dir, 'logs/api.log'), 'utf8')).trim().split('\n');
      const names = lines.map((line) => line.split('=')[0]).filter((name) => !['TZ', 'PWD', 'SHLVL', '_'].includes(name ?? ''));
      expect(names.sort()).toEqual(['BOOTPLANE_MARK', 'HOME', 'LANG', 'PATH', 'PORT']);
    });
    delete process.env.SECRET_OF_THE_NODE;
  });

  test("node is the Node that runs bootplane, in a folder of the service's own that it may write", async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const host = open();
      const script =
        'require("fs").writeFileSync("mine","");console.log(process.execPath, process.cwd());console.error("to the same file")';
      expect(await host.exited(await host.start(spec(['node', '-e', script])))).toEqual({ code: 0 });
      const folder = join(data_dir, 'services/api');
      expect(await readFile(join(data_dir, 'logs/api.log'), 'utf8')).toBe(`${process.execPath} ${folder}\nto the same file\n`);
      expect(await readdir(folder)).toEqual(['mine']);
    });
  });

  test('appends to the log across restarts', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const host = open();
      for (const word of ['one', 'two']) await host.exited(await host.start(spec(['echo', word])));
      expect(await readFile(join(data_dir, 'logs/api.log'), 'utf8')).toBe('one\ntwo\n');
    });
  });

  test('tells an exit that happened before anybody asked', async () => {
    await withProcesses(async ({ open }) => {
      const host = open();
      const ref = await host.start(spec(['sh', '-c', 'exit 4']));
      await until(async () => (await host.list()).length === 0);
      expect(await host.exited(ref)).toEqual({ code: 4 });
    });
  });

  test('keeps no record of what is gone', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const host = open();
      await host.exited(await host.start(spec(['true'])));
      await until(async () => (await host.list()).length === 0);
      expect(await readdir(join(data_dir, 'processes'))).toEqual([]);
      expect((await stat(join(data_dir, 'processes'))).mode & 0o777).toBe(0o700);
    });
  });

  test('an interpreter that is missing is named', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      await writeFile(join(data_dir, 'script'), '#!/no/such/interpreter\n');
      await chmod(join(data_dir, 'script'), 0o755);
      await expect(open().start(spec([join(data_dir, 'script')]))).rejects.toMatchObject({
        kind: 'not_found',
        message: expect.stringContaining('interpreter'),
      });
      expect(await open().list()).toEqual([]);
    });
  });

  test('a program that may not be executed is refused beforehand', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      await writeFile(join(data_dir, 'plain'), 'text', { mode: 0o644 });
      await expect(open().start(spec([join(data_dir, 'plain')]))).rejects.toMatchObject({ kind: 'not_permitted' });
    });
  });

  test('a folder that is not there is named', async () => {
    await withProcesses(async ({ open }) => {
      await expect(open().start(spec(['true'], { cwd: '/no/such/folder' }))).rejects.toMatchObject({
        kind: 'not_found',
        message: expect.stringContaining('/no/such/folder'),
      });
    });
  });

  test("two nodes with their own data directories do not see each other's processes", async () => {
    await withProcesses(async (one) => {
      await withProcesses(async (other) => {
        await one.open().start(spec(commands.stay));
        expect(await other.open().list()).toEqual([]);
      });
    });
  });
});

describe.runIf(on_linux)('left-overs on Linux', () => {
  test('a process without a record (a crash right after its start) is found by its mark', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const ref = await open().start(spec(commands.stay));
      await dropRecords(data_dir);
      expect(await open().list()).toMatchObject([{ ref, name: 'api', version: '1 : é%', orphaned: false }]);
    });
  });

  test('one that has lost its mark is found by its record', async () => {
    await withProcesses(async ({ open }) => {
      const ref = await open().start(spec(['sh', '-c', 'exec env -i sleep 600']));
      await until(() => !readFileSync(`/proc/${ref.pid}/environ`, 'latin1').includes('BOOTPLANE_MARK'));
      expect(await open().list()).toMatchObject([{ ref, orphaned: false }]);
    });
  });

  test('a disk that refuses the record keeps no service from running and being found', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const host = open();
      await rm(join(data_dir, 'processes'), { recursive: true });
      const ref = await host.start(spec(commands.stay));
      expect(await host.list()).toMatchObject([{ ref, orphaned: false }]);
      await host.signal(ref, 'SIGKILL');
      await until(async () => (await host.list()).length === 0);
    });
  });

  test('a record whose pid belongs to somebody else by now is not believed', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const record = { run: '0000000000', name: 'api', version: '1', spec_hash: 'x', pid: process.pid, started: 'before' };
      open();
      await writeFile(join(data_dir, 'processes/0000000000.json'), JSON.stringify(record));
      await writeFile(join(data_dir, 'processes/broken.json'), '{');
      const host = open();
      expect(await host.list()).toEqual([]);
      await host.signal({ pid: process.pid, started: 'before' }, 'SIGKILL');
    });
  });

  test('a child that began a session of its own is ended with its service', async () => {
    await withProcesses(async ({ open }) => {
      const host = open();
      const ref = await host.start(spec(['sh', '-c', 'setsid sleep 601 & setsid sleep 602 & sleep 603']));
      const sleepers = async () => (await marked()).length;
      await until(async () => (await sleepers()) === 4);
      expect(await host.list()).toMatchObject([{ ref, orphaned: false }]);
      await host.signal(ref, 'SIGTERM');
      await until(async () => (await host.list()).length === 0);
      expect(await sleepers()).toBe(0);
    });
  });

  test('a child that ran away from a service that ended is an orphan, not the service', async () => {
    await withProcesses(async ({ open }) => {
      const ref = await open().start(
        spec(['sh', '-c', 'setsid sh -c "touch away; exec sleep 604" & until [ -e away ]; do sleep 0.05; done']),
      );
      const host = open();
      await host.exited(ref);
      expect(await host.list()).toMatchObject([{ ref, orphaned: true }]);
      await host.signal(ref, 'SIGKILL');
      await until(async () => (await host.list()).length === 0);
    });
  });
});

describe.runIf(as_root)('as root', () => {
  const whoami = ['sh', '-c', 'id -un; id -Gn; touch made && ls -l made | cut -d" " -f3'];
  const output = (data_dir: string) => readFile(join(data_dir, 'logs/api.log'), 'utf8');

  test('a service runs as nobody, without further groups, in a folder that it may write', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const host = open();
      await host.exited(await host.start(spec(whoami)));
      expect(await output(data_dir)).toMatch(/^nobody\n\S+\nnobody\n$/);
    });
  });

  test('the user of the plan is honoured', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      const host = open();
      await host.exited(await host.start(spec(whoami, { user: 'root' })));
      expect(await output(data_dir)).toBe('root\nroot\nroot\n');
    });
  });

  test('an unknown user is refused by name', async () => {
    await withProcesses(async ({ open }) => {
      await expect(open().start(spec(['true'], { user: 'nosuchuser' }))).rejects.toMatchObject({
        kind: 'no_such_user',
        message: expect.stringContaining('nosuchuser'),
      });
    });
  });

  test('a program below a closed folder is refused, with the folder and what to do', async () => {
    await withProcesses(async ({ open, data_dir }) => {
      await mkdir(join(data_dir, 'closed'), { mode: 0o700 });
      const program = join(data_dir, 'closed/run');
      await writeFile(program, '#!/bin/sh\n', { mode: 0o755 });
      await expect(open().start(spec([program]))).rejects.toMatchObject({
        kind: 'not_permitted',
        message: expect.stringMatching(/closed is closed to that user.*set "user"/),
      });
      expect(await open().exited(await open().start(spec([program], { user: 'root' })))).toEqual({});
    });
  });

  test("a data directory that the user can't enter: the service works in the fallback folder", async () => {
    await withProcesses(async ({ open, data_dir }) => {
      await withProcesses(async (other) => {
        await chmod(data_dir, 0o700);
        const host = open({ fallback_dir: join(other.data_dir, 'fallback') });
        await host.exited(await host.start(spec(['sh', '-c', 'pwd; touch made && echo done'])));
        expect(await output(data_dir)).toMatch(new RegExp(`^${other.data_dir}/fallback/[0-9a-f]{12}/api\ndone\n$`));
      });
    });
  });
});

describe.runIf(on_linux)('the process tables agree', () => {
  test.each([
    ['/proc', procTable()],
    ['ps', psTable()],
  ])('%s knows this process by a start time that does not change', async (_, table) => {
    const entry = (await table.list()).find(({ pid }) => pid === process.pid);
    expect(entry).toBeDefined();
    expect(table.look(process.pid)).toMatchObject({ started: entry?.started, ended: false });
    expect(table.look(2 ** 22 + 1)).toBeUndefined();
  });

  test('with ps alone, a process is found by its record and watched to its end', async () => {
    await withProcesses(async ({ open }) => {
      const ref = await open({ table: psTable() }).start(spec(commands.stay));
      const next = open({ table: psTable() });
      expect(await next.list()).toMatchObject([{ ref, orphaned: false }]);
      const exit = next.exited(ref);
      await next.signal(ref, 'SIGTERM');
      expect(await exit).toEqual({});
    });
  });
});

/** The mark is the process's first environment, so a child shows it from its start. */
async function marked(): Promise<number[]> {
  const table = await procTable().list();
  const name = encodeURIComponent('1 : é%');
  return table.filter(({ mark }) => mark?.includes(name)).map(({ pid }) => pid);
}

async function dropRecords(data_dir: string): Promise<void> {
  const folder = join(data_dir, 'processes');
  for (const file of await readdir(folder)) await writeFile(join(folder, file), '');
}
