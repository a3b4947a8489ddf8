import { writeFile, mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Pc, PcForkOptions } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import { BootedMachine, describeFailure, folderName, shellQuoted, type TestMachine, TestError } from '@retrap/test'
import { replayFailure, writeFailure } from '@retrap/test/node'
import { CliError } from '@retrap/linux-guest/errors'
import type { NamedKernel } from '../../guests/linux/kernel-names.ts'
import { loadInterpreters } from '@retrap/linux-guest/machine/interpreters'
import { usage } from '../../options/values.ts'
import { type ListingOutput, printLines } from '../../print-lines.ts'
import type { SessionOutput } from '../../machine/session/session-host.ts'
import { openMachine, type OpenTestMachine } from './machine.ts'
import { type PlannedTest, readPlan, type TestPlan, type PlannedStep } from './plan.ts'
import { outcomeLine, tapBailOut, tapBegin, tapLines, type TestOutcome, writeReport } from './reports.ts'

/** Options of the command. */
export interface TestFlags {
  readonly tap?: boolean
  readonly junit?: string
  readonly out: string
  readonly filter?: string
  readonly gdb?: string
  readonly gdbPort?: number
  readonly kernels?: readonly NamedKernel[]
}

/** The command's output streams. */
export interface TestOutputs {
  readonly stdout: ListingOutput
  readonly stderr: SessionOutput
}

/**
 * Runs the tests of a file, or opens the recording of one of them.
 *
 * @returns whether all tests have passed
 * @throws CliError; MachineError and others for an impossible machine
 */
export async function runTests(file: string, flags: TestFlags, outputs: TestOutputs): Promise<boolean> {
  const outcomes = await runPlan(file, await readTests(file, flags), flags, outputs)
  if (flags.gdb === undefined) await writeReport(flags.junit, new Map([[basename(file), outcomes]]))
  return outcomes.every(({ failure }) => failure === undefined)
}

/** Reads the tests of a file with the text of --filter in their names. @throws CliError */
export async function readTests(file: string, { filter = '' }: TestFlags): Promise<TestPlan> {
  const plan = await readPlan(file)
  const tests = plan.tests.filter(({ name }) => name.includes(filter))
  if (tests.length === 0) throw usage(`--filter ${filter}: no test has this in its name`)
  return { ...plan, tests }
}

/** Runs tests on their machine, or opens the recording of one of them. */
export async function runPlan(
  file: string,
  plan: TestPlan,
  flags: TestFlags,
  { stdout, stderr }: TestOutputs,
): Promise<readonly TestOutcome[]> {
  if (plan.machine.flags.arch !== 'arm64') await loadInterpreters('x86')
  const machine = await openMachine(plan.machine, { stderr, isReplay: flags.gdb !== undefined })
  try {
    if (flags.gdb === undefined) return await runAll(file, machine, plan, flags, { stdout, stderr })
    await showToGdb(flags.gdb, machine.options, flags.gdbPort, stderr)
    return []
  } finally {
    await machine.close()
  }
}

/** The outcome of a machine that was not booted has this name, and its files this folder. */
export const BOOT = 'boot'

/** Boots the machine, and runs the tests one after another. */
async function runAll(
  file: string,
  machine: OpenTestMachine,
  plan: TestPlan,
  flags: TestFlags,
  { stdout, stderr }: TestOutputs,
): Promise<readonly TestOutcome[]> {
  const print = (lines: readonly string[]): Promise<void> => printLines(lines, stdout)
  const { tap = false, out, kernels } = flags
  const command = ['retrap', 'test', file, ...(kernels?.flatMap(({ name }) => ['--kernels', name]) ?? [])]
  if (tap) await print(tapBegin(plan.tests.length))
  const begunMs = performance.now()
  const boot = await bootMachine(file, machine, plan, out)
  const ms = performance.now() - begunMs
  if ('failure' in boot) {
    const outcome = { name: BOOT, ms, failure: boot.failure }
    await print(tap ? tapBailOut(outcome) : peopleLines(outcome))
    return [outcome]
  }
  const { booted } = boot
  stderr.write(`retrap: ${bootedLine(booted.booted, ms)}\n`)
  // A table of several kernels has a line for the boot.
  const outcomes: TestOutcome[] = kernels === undefined ? [] : [{ name: BOOT, ms }]
  try {
    for (const [i, test] of plan.tests.entries()) {
      if (booted.notRecorded === undefined) await boot.renew()
      const outcome = await runOne(booted, test, folderOf(file, test.name, out), command)
      outcomes.push(outcome)
      await print(tap ? tapLines(outcome, i + 1) : peopleLines(outcome))
    }
  } finally {
    booted.close()
  }
  return outcomes
}

type AnyBooted = BootedMachine<Pc> | BootedMachine<ArmMachine>

/**
 * Boots the machine up to the instant at which tests begin.
 *
 * @returns the machine, or why its boot failed: then its output and screen are saved in the folder
 */
async function bootMachine(
  file: string,
  machine: OpenTestMachine,
  { boot, ready, prompt, enter, bootTimeoutMs }: TestPlan,
  out: string,
): Promise<{ readonly booted: AnyBooted; readonly renew: () => Promise<void> } | { readonly failure: string }> {
  let own: PcForkOptions = {}
  const renew = async (): Promise<void> => void (own = await machine.renew())
  let left = ''
  const bring = async (test: AnyTestMachine): Promise<void> => {
    const folder = folderOf(file, BOOT, out)
    const pictures = new Map<string, Uint8Array>()
    try {
      for (const step of boot) await takeStep(test, step, { timeoutMs: bootTimeoutMs, enter, pictures })
      if (ready !== undefined) await test.until(ready)
    } catch (error) {
      await test.over()
      const files = await writeFailure(
        { test: test as TestMachine, begun: { recording: async () => undefined } },
        folder,
      )
      left = describeFailure(test.printed, files, undefined, 'recordings begin when it has booted')
      throw error
    } finally {
      if (pictures.size > 0) await writePictures(folder, pictures)
    }
  }
  const both = { prompt, lineEnd: enter, bootTimeoutMs }
  const { options } = machine
  try {
    // A trial clone shows whether clones are possible.
    const booted =
      'arm' in options
        ? await BootedMachine.arm({ ...options, ...both, fork: () => own, ready: (test) => bring(test).then(renew) })
        : await BootedMachine.pc({ ...options, ...both, fork: () => own, ready: (test) => bring(test).then(renew) })
    return { booted, renew }
  } catch (error) {
    if (!isTestError(error)) throw error
    const why = `the machine was not booted: ${reasonOf(error)}`
    if (left === '') throw new CliError('ERR_INPUT', `${file}: ${why}`)
    return { failure: `${why}\n${left}` }
  }
}

/** Returns a line with the duration of the boot. On deterministic time the number of instructions is the same in each run. */
function bootedLine(machine: Pc | ArmMachine, ms: number): string {
  const domain: Pick<Pc['domain'], 'clock' | 'instructions'> = machine.domain
  const guest = (domain.clock.now() / 1e9).toFixed(2)
  return `booted in ${(ms / 1000).toFixed(1)} s: ${domain.instructions.toLocaleString('en')} instructions, ${guest} s of the guest's time`
}

const folderOf = (file: string, name: string, out: string): string =>
  join(out, folderName(basename(file)), folderName(name))

/** Runs a test. @param folder - of a failing test's files @param command - words that run the file of tests again */
async function runOne(
  booted: AnyBooted,
  test: PlannedTest,
  folder: string,
  command: readonly string[],
): Promise<TestOutcome> {
  const begunMs = performance.now()
  const run = await booted.begin()
  const pictures = new Map<string, Uint8Array>()
  try {
    const why = await whyFailed(run.test, test, pictures)
    const ms = performance.now() - begunMs
    await run.test.over()
    if (why === undefined) return { name: test.name, ms }
    const ofPc = run as Awaited<ReturnType<BootedMachine['begin']>>
    const files = await writeFailure(ofPc, folder, `${test.name}: ${why}`)
    const opens = files.recording && [...command, '--gdb', folder].map(shellQuoted).join(' ')
    const left = describeFailure(run.test.printed, files, opens, booted.notRecorded)
    return { name: test.name, ms, failure: `${why}\n${left}` }
  } finally {
    run.begun.end()
    // Pictures are written last: `writeFailure` empties the folder of a test that fails.
    if (pictures.size > 0) await writePictures(folder, pictures)
  }
}

/** Runs a test. @returns why the test failed; undefined if it passed */
async function whyFailed(
  machine: AnyTestMachine,
  { steps, timeoutMs }: PlannedTest,
  pictures: Map<string, Uint8Array>,
): Promise<string | undefined> {
  try {
    for (const step of steps) await takeStep(machine, step, { timeoutMs, pictures })
    return undefined
  } catch (error) {
    if (isTestError(error)) return reasonOf(error)
    throw error
  }
}

const isTestError = (error: unknown): error is Error => error instanceof Error && error.name === 'TestError'
/** An error's message without the guest's output, which is shown behind it. */
const reasonOf = (error: Error): string => error.message.replace(/; the guest has printed[^]*?(?=; the screen |$)/, '')
export const peopleLines = (outcome: TestOutcome): readonly string[] => [
  outcomeLine(outcome),
  ...(outcome.failure === undefined ? [] : indented(outcome.failure)),
]
const indented = (text: string): readonly string[] => text.split('\n').map((line) => `       ${line}`)

/** Opens the recording of a failing test. */
async function showToGdb(
  folder: string,
  options: OpenTestMachine['options'],
  port: number | undefined,
  stderr: { write(text: string): unknown },
): Promise<void> {
  try {
    const onListening = (found: number): void =>
      void stderr.write(`retrap: the run is at its end: gdb -ex 'target remote 127.0.0.1:${found}'\n`)
    await replayFailure(folder, options, { port, onListening })
  } catch (error) {
    throw isTestError(error) ? new CliError('ERR_INPUT', `--gdb ${error.message}`) : error
  }
}

/** A test's machine of either board. */
export type AnyTestMachine = TestMachine<Pc> | TestMachine<ArmMachine>

export interface StepOptions {
  /** Host time that each wait may take. */
  readonly timeoutMs: number
  /** The end of a line, for a machine that has no prompt yet. Absent: a line whose output is looked at is a command. */
  readonly enter?: string
  /** Takes the pictures, by the names of their files. */
  readonly pictures: Map<string, Uint8Array>
}

/**
 * Takes a step: types, presses keys, waits, and takes a picture, in this order.
 *
 * @throws TestError if the expected output does not appear, as in `TestMachine.until`; `ERR_STATE` for a machine without
 * a picture
 */
export async function takeStep(
  machine: AnyTestMachine,
  { type, press = [], expect, screen, screenshot }: PlannedStep,
  { timeoutMs, enter, pictures }: StepOptions,
): Promise<void> {
  const waits = { timeoutMs }
  const isCommand = enter === undefined && machine.hasPrompt && type !== undefined && expect !== undefined
  if (type !== undefined && !isCommand) machine.typeLine(type)
  // Keys wait until the guest takes them.
  for (const keys of press) void machine.machine.keyboard.press(...keys)
  if (isCommand) {
    const output = await machine.command(type, waits)
    if (!output.includes(expect))
      throw new TestError('ERR_STATE', `expected ${JSON.stringify(expect)} in what '${type}' prints`)
  } else if (expect !== undefined) await machine.until(expect, waits)
  if (screen !== undefined) await machine.untilScreen(screen, waits)
  if (screenshot === undefined) return
  const picture = await machine.screenshot()
  if (picture === undefined)
    throw new TestError('ERR_STATE', `screenshot ${screenshot}: there is no picture, as the display is off`)
  pictures.set(screenshot, picture)
}

/** Writes pictures into the folder of their test. @throws errors of the host's file system */
export async function writePictures(folder: string, pictures: ReadonlyMap<string, Uint8Array>): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, bytes] of pictures) await writeFile(join(folder, name), bytes)
}
