import { basename, join, relative } from 'node:path'
import type { Pc } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import * as vitest from 'vitest'
import { afterAll, beforeAll, test as base, type RunnerTestCase, type TestAPI } from 'vitest'
import {
  BootedMachine,
  describeFailure,
  folderName,
  type PcBootedOptions,
  shellQuoted,
  type TestMachine,
} from '../index.ts'
import { BOOT_MS, type ArmBootedOptions } from '../booted-machine.ts'
import { replayFailure, writeFailure } from '../node/index.ts'

/** Folder for failed tests' files. */
export interface OutputOptions {
  /** A folder; default `temp/retrap`. Each failed test gets a subfolder by its file and name. */
  readonly outputFolder?: string | undefined
}

export type MachineTestOptions = PcBootedOptions & OutputOptions

/** How tests of an Arm board begin. */
export type ArmTestOptions = ArmBootedOptions & OutputOptions

/** Names the folder of a failing test, whose recording is opened for gdb instead of a run of the test. */
const REPLAY = 'RETRAP_REPLAY'
/** The port for gdb; default any free one. */
const PORT = 'RETRAP_GDB_PORT'

/**
 * Makes vitest's `test` with a fixture `machine`: a PC is booted once a file, and each test begins at the same instant, with
 * no change of another test.
 *
 * A test that fails leaves behind the guest's output, a picture of its screen, and a recording of its run; the failure says by
 * which command gdb opens that. Call it where test files are read: its first tests wait for the boot, which has a time limit
 * of its own.
 */
export function machineTest(options: MachineTestOptions): TestAPI<{ machine: TestMachine }> {
  return extended<Pc>(
    options,
    () => BootedMachine.pc(options),
    (folder) => replay(folder, options),
  )
}

/** Makes a test for an Arm board, as {@link machineTest} does for a PC. */
export function armTest(options: ArmTestOptions): TestAPI<{ machine: TestMachine<ArmMachine> }> {
  return extended<ArmMachine>(
    options,
    () => BootedMachine.arm(options),
    (folder) => replay(folder, options),
  )
}

function extended<Machine extends Pc | ArmMachine>(
  { bootTimeoutMs = BOOT_MS, outputFolder = join('temp', 'retrap') }: MachineTestOptions | ArmTestOptions,
  boot: () => Promise<BootedMachine<Machine>>,
  open: (folder: string) => Promise<void>,
): TestAPI<{ machine: TestMachine<Machine> }> {
  const replayed = process.env[REPLAY]
  let booting: Promise<BootedMachine<Machine>> | undefined
  // The fixture's time is that of the first test: the boot has its own.
  if (replayed === undefined) beforeAll(() => void (booting ??= boot()).catch(() => {}), 0)
  beforeAll(async () => void (replayed === undefined && (await booting)), bootTimeoutMs + BESIDE_BOOT_MS)
  afterAll(async () => {
    const booted = await booting?.catch(() => undefined)
    booted?.close()
    booting = undefined
  })
  return base.extend<{ machine: TestMachine<Machine> }>({
    machine: async ({ task, skip }, use) => {
      if (replayed !== undefined) {
        await open(replayed)
        skip('its recording was shown to gdb')
      }
      const booted = await (booting ??= boot())
      const begun = await booted.begin()
      try {
        await use(begun.test)
        await begun.test.over()
        if (task.result?.state !== 'fail') return
        const folder = join(outputFolder, folderName(basename(task.file.filepath)), folderName(namesOf(task).join(' ')))
        const why = task.result.errors?.[0]?.message
        const files = await writeFailure(begun, folder, [...namesOf(task), why].join(': '))
        await attach(task, files.serial, 'text/plain')
        if (files.screen !== undefined) await attach(task, files.screen, 'image/png')
        const command = files.recording === undefined ? undefined : commandFor(task, folder)
        const message = describeFailure(begun.test.printed, files, command, booted.notRecorded)
        // Added to the test's own errors: an error thrown here would be reported twice, and its stack is meaningless.
        task.result.errors?.push({ name: 'Machine', message, stack: `Machine: ${message}` })
      } finally {
        begun.begun.end()
      }
    },
  })
}

/** Host time that beginning with tests may take besides the boot. */
const BESIDE_BOOT_MS = 60_000

async function attach(task: RunnerTestCase, path: string, contentType: string): Promise<void> {
  // Vitest 3 has no attachments; the files exist nevertheless.
  const { recordArtifact }: Partial<typeof vitest> = vitest
  await recordArtifact?.(task, { type: '@retrap/test:failure', attachments: [{ path, contentType }] } as never).catch(
    () => undefined,
  )
}

/** The names of a test and of its suites, outermost first. */
function namesOf(task: RunnerTestCase): readonly string[] {
  const names = [task.name]
  for (let { suite } = task; suite !== undefined; { suite } = suite) names.unshift(suite.name)
  return names
}

/** The command that opens the recording of a failing test. */
function commandFor(task: RunnerTestCase, folder: string): string {
  const file = relative(process.cwd(), task.file.filepath)
  const pattern = `^${namesOf(task)
    .join(' ')
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`
  return `${REPLAY}=${shellQuoted(folder)} npx vitest run ${shellQuoted(file)} -t ${shellQuoted(pattern)} --testTimeout=0`
}

async function replay(folder: string, options: PcBootedOptions | ArmBootedOptions): Promise<void> {
  const port = Number(process.env[PORT] ?? 0)
  await replayFailure(folder, options, {
    port,
    // vitest holds a test's output until its end, while this waits for gdb.
    onListening: (found) => process.stderr.write(`retrap: gdb -ex 'target remote 127.0.0.1:${found}'\n`),
  })
}
