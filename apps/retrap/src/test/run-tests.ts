import { writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { PcForkOptions } from '@retrap/machine'
import {
  BootedMachine,
  describeFailure,
  folderName,
  type PcBootedOptions,
  shellQuoted,
  type TestMachine,
} from '@retrap/test'
import { replayFailure, writeFailure } from '@retrap/test/node'
import { CliError, troubleWith } from '../errors.ts'
import { loadInterpreters } from '../machine/interpreters.ts'
import { usage } from '../options/values.ts'
import { type ListingOutput, printLines } from '../print-lines.ts'
import type { SessionOutput } from '../host/host.ts'
import { openMachine } from './machine.ts'
import { type PlannedTest, readPlan } from './plan.ts'
import { junit, outcomeLine, tapBegin, tapLines, type TestOutcome } from './reports.ts'

/** Options of the command. */
export interface TestFlags {
  readonly tap?: boolean
  readonly junit?: string
  readonly out: string
  readonly filter?: string
  readonly gdb?: string
  readonly gdbPort?: number
}

/** Where the command writes. */
export interface TestOutputs {
  readonly stdout: ListingOutput
  readonly stderr: SessionOutput
}

/**
 * Runs the tests of a file, or opens the recording of one of them.
 *
 * @returns whether all have passed
 * @throws CliError; MachineError and others for a machine that cannot be made
 */
export async function runTests(file: string, flags: TestFlags, { stdout, stderr }: TestOutputs): Promise<boolean> {
  const plan = await readPlan(file)
  await loadInterpreters('x86')
  const tests = plan.tests.filter(({ name }) => name.includes(flags.filter ?? ''))
  if (tests.length === 0) throw usage(`--filter ${flags.filter}: no test has this in its name`)
  const { ready, prompt, bootTimeoutMs } = plan
  const machine = await openMachine(plan.machine, { stderr, isReplay: flags.gdb !== undefined })
  const outcomes: TestOutcome[] = []
  try {
    const pc = machine.options
    if (flags.gdb !== undefined) {
      await showToGdb(flags.gdb, { pc }, flags.gdbPort, stderr)
      return true
    }
    let own: PcForkOptions = {}
    const renew = async (): Promise<void> => void (own = await machine.renew())
    // Whether there can be clones is tried with one.
    const booted = async (booting: TestMachine): Promise<void> => booting.until(ready).then(renew)
    const options = { pc, fork: () => own, ready: booted, prompt, bootTimeoutMs }
    outcomes.push(...(await runAll(file, renew, options, tests, flags, stdout)))
  } finally {
    await machine.close()
  }
  if (flags.junit !== undefined) await writeReport(flags.junit, junit(basename(file), outcomes))
  return outcomes.every(({ failure }) => failure === undefined)
}

/** Boots the machine, and runs the tests one after the other. */
async function runAll(
  file: string,
  renew: () => Promise<void>,
  options: PcBootedOptions,
  tests: readonly PlannedTest[],
  flags: TestFlags,
  stdout: ListingOutput,
): Promise<readonly TestOutcome[]> {
  const print = (lines: readonly string[]): Promise<void> => printLines(lines, stdout)
  if (flags.tap === true) await print(tapBegin(tests.length))
  const booted = await BootedMachine.pc(options).catch((error: unknown) => {
    throw isTestError(error)
      ? new CliError('ERR_INPUT', `${file}: the machine was not booted: ${error.message}`)
      : error
  })
  const outcomes: TestOutcome[] = []
  try {
    for (const test of tests) {
      // oxlint-disable-next-line no-await-in-loop -- one test after the other
      if (booted.notRecorded === undefined) await renew()
      // oxlint-disable-next-line no-await-in-loop
      const outcome = await runOne(booted, test, file, flags.out)
      outcomes.push(outcome)
      const lines =
        flags.tap === true
          ? tapLines(outcome, outcomes.length)
          : [outcomeLine(outcome), ...(outcome.failure === undefined ? [] : indented(outcome.failure))]
      // oxlint-disable-next-line no-await-in-loop
      await print(lines)
    }
  } finally {
    booted.close()
  }
  return outcomes
}

async function runOne(booted: BootedMachine, test: PlannedTest, file: string, out: string): Promise<TestOutcome> {
  const begunMs = performance.now()
  const run = await booted.begin()
  try {
    const why = await whyFailed(run.test, test)
    const ms = performance.now() - begunMs
    await run.test.over()
    if (why === undefined) return { name: test.name, ms }
    const folder = join(out, folderName(basename(file)), folderName(test.name))
    const files = await writeFailure(run, folder)
    const command =
      files.recording === undefined ? undefined : `retrap test ${shellQuoted(file)} --gdb ${shellQuoted(folder)}`
    const left = describeFailure(run.test.printed, files, command, booted.notRecorded)
    return { name: test.name, ms, failure: `${why}\n${left}` }
  } finally {
    run.begun.end()
  }
}

/** Runs a test. @returns why it has failed; undefined where it has passed */
async function whyFailed(machine: TestMachine, { type, expect, timeoutMs }: PlannedTest): Promise<string | undefined> {
  try {
    const output = await machine.command(type, { timeoutMs })
    return output.includes(expect) ? undefined : `expected ${JSON.stringify(expect)} in what '${type}' prints`
  } catch (error) {
    if (isTestError(error)) return error.message.split('; the guest has printed')[0]
    throw error
  }
}

const isTestError = (error: unknown): error is Error => error instanceof Error && error.name === 'TestError'
const indented = (text: string): readonly string[] => text.split('\n').map((line) => `       ${line}`)

async function writeReport(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    throw new CliError('ERR_INPUT', `--junit ${path}: ${troubleWith(error, 'write')}`)
  })
}

/** Opens the recording of a failing test. */
async function showToGdb(
  folder: string,
  options: Pick<PcBootedOptions, 'pc'>,
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
