import type { DeviceModel } from '@retrap/device'
import type { Pc, PcOptions, StartDeviceServer } from '@retrap/machine'
import { TestError } from '../errors.ts'
import { type BegunMachine, PoweredInstant } from '../instant.ts'
import { TestMachine } from '../test-machine.ts'
import { type DrawOptions, drawFaults } from './draw.ts'
import { describeFault, type DeviceFault } from './fault.ts'
import { FaultStage } from './fault-stage.ts'

/** Starts a device that is a program, behind a stage. */
export type StartFaulty = (stage: FaultStage) => StartDeviceServer

/** Options for testing a driver with device faults. */
export interface FaultOptions {
  /** The machine's options, or a function that makes them. Defaults: deterministic time; a failed device is taken out. */
  readonly pc: PcOptions | (() => PcOptions | Promise<PcOptions>)
  /** Make device models, for each run anew, that faults befall. */
  readonly models?: readonly (() => DeviceModel)[] | undefined
  /** Devices that are programs: `deviceProgram` of `@retrap/test/node`. */
  readonly programs?: readonly StartFaulty[] | undefined
  /** Runs the guest from power-on, and throws where its driver fails. It is called once for each schedule. */
  readonly test: (machine: TestMachine) => Promise<unknown>
  /** Begins the drawing of faults: 32 bits. Default 1. */
  readonly seed?: number | undefined
  /** Runs with faults; default 200. */
  readonly schedules?: number | undefined
  /** The kinds and the frequency of the faults. */
  readonly draw?: DrawOptions | undefined
  /** Host time of each wait of a test, in milliseconds; default 10,000. */
  readonly timeoutMs?: number | undefined
}

/** A schedule that a driver fails with. */
export interface FaultFailure {
  /** The schedule, from 1. */
  readonly schedule: number
  /** The fewest faults with which the test fails. */
  readonly faults: readonly DeviceFault[]
  /** The test's own error. */
  readonly error: unknown
  /** The machine of that run, which has stopped; with `begun`, an argument of `writeFailure`. */
  readonly test: TestMachine
  /** Gives the machine back by `end`. */
  readonly begun: BegunMachine<Pc>
  /** Says seed, schedule and faults in words. */
  readonly message: string
}

/** The outcome of all schedules. */
export interface FaultOutcome {
  /** Number of schedules run, including the failed one. */
  readonly schedules: number
  /** The failure; undefined: all schedules have passed. */
  readonly failure: FaultFailure | undefined
}

/** A run with faults. */
export interface FaultRun {
  /** The devices' fault injector, which has the faults that occurred. */
  readonly stage: FaultStage
  /** The run's machine, which has stopped. */
  readonly test: TestMachine
  /** Makes the run's recording, and gives the machine back by `end`. */
  readonly begun: BegunMachine<Pc>
  /** The test's error. Undefined: the test has passed. */
  readonly failed: { readonly error: unknown } | undefined
}

const SCHEDULES = 200
const WAIT_MS = 10_000

/**
 * Runs a test of a driver again and again, each time with other faults of its devices, until one fails. Each run begins at power-on
 * and is recorded. The same seed draws the same faults, and a run with them is the same bit for bit.
 *
 * @throws TestError `ERR_OPTION`; errors of the test in a run without faults, which comes first; as `recordPc`
 */
export async function exploreFaults(options: FaultOptions): Promise<FaultOutcome> {
  const { seed = 1, schedules = SCHEDULES, draw } = options
  if (!(Number.isSafeInteger(schedules) && schedules >= 1))
    throw new TestError('ERR_OPTION', `schedules ${schedules}: expected a whole number from 1 on`)
  const sound = await runWithFaults(options, [])
  sound.begun.end()
  if (sound.failed !== undefined) throw sound.failed.error
  const { counts } = sound.stage
  for (let schedule = 1; schedule <= schedules; schedule++) {
    const faults = drawFaults(seed, schedule, counts, draw)
    const run = await runWithFaults(options, faults)
    if (run.failed !== undefined) {
      const least = await shrunk(options, faults, run)
      const head = `seed ${seed}, schedule ${schedule} of ${schedules}`
      return { schedules: schedule, failure: { ...least, schedule, message: describe(head, least) } }
    }
    run.begun.end()
  }
  return { schedules, failure: undefined }
}

/**
 * Runs a test of a driver once, with these faults. Its machine is to be given back by `begun.end`.
 *
 * @throws TestError `ERR_OPTION` for faults that cannot be, or of unknown devices; as `recordPc`
 */
export async function runWithFaults(options: FaultOptions, faults: readonly DeviceFault[]): Promise<FaultRun> {
  const { pc, models = [], programs = [], timeoutMs = WAIT_MS } = options
  const given = typeof pc === 'function' ? await pc() : pc
  if (given.clock === 'real')
    throw new TestError('ERR_OPTION', 'clock real: no two runs agree; expected deterministic, the default here')
  const stage = new FaultStage(faults)
  const begun = await new PoweredInstant({
    ...given,
    devices: [...(given.devices ?? []), ...models.map((make) => stage.wrap(make()))],
    deviceServers: [...(given.deviceServers ?? []), ...programs.map((start) => start(stage))],
  }).begin()
  const test = new TestMachine({ machine: begun.machine, timeoutMs })
  try {
    stage.requireDevices()
  } catch (error) {
    begun.end()
    throw error
  }
  let failed: FaultRun['failed']
  try {
    await options.test(test)
  } catch (error) {
    failed = { error }
  }
  await test.over()
  return { stage, test, begun, failed }
}

/** Leaves out faults as long as it still fails. @returns the last run that has failed */
async function shrunk(
  options: FaultOptions,
  given: readonly DeviceFault[],
  first: FaultRun,
): Promise<Omit<FaultFailure, 'schedule' | 'message'>> {
  let [faults, run] = [given, first]
  for (let i = 0; i < faults.length && faults.length > 1;) {
    const fewer = faults.toSpliced(i, 1)
    const without = await runWithFaults(options, fewer)
    if (without.failed === undefined) {
      without.begun.end()
      i++
    } else {
      run.begun.end()
      faults = fewer
      run = without
    }
  }
  return { faults, error: run.failed?.error, test: run.test, begun: run.begun }
}

function describe(head: string, { faults, error }: Pick<FaultFailure, 'faults' | 'error'>): string {
  const own = error instanceof Error ? error.message : String(error)
  return [`${head} fails: ${own}`, 'It fails with:', ...faults.map((fault) => `- ${describeFault(fault)}`)].join('\n')
}
