import type { Pc, PcForkOptions, PcOptions } from '@retrap/machine'
import { type ArmForkOptions, type ArmMachine, type ArmMachineOptions, createArmMachine } from '@retrap/machine/arm'
import { TestError } from './errors.ts'
import {
  type BegunMachine,
  bootedOptions,
  type ChangesOf,
  ClonedInstant,
  createBooted,
  type Instant,
  type OptionsOf,
  requireNoWrites,
  ResetInstant,
  whyNoClones,
} from './instant.ts'
import type { Expected } from './printed-text.ts'
import { TestMachine, type TestMachineOptions } from './test-machine.ts'

/** Options of PCs and Arm boards alike. */
export interface BootOptionsOfAll<Machine extends Pc | ArmMachine> {
  /**
   * The instant at which tests begin: output of the guest on its first serial port, or a function that takes the
   * machine to it. The machine stops at it.
   */
  readonly ready: Expected | ((machine: TestMachine<Machine>) => Promise<unknown>)
  /** The prompt of the guest's shell, for `command`; default `ready`, if that is a text or an expression. */
  readonly prompt?: Expected | undefined
  /** The end of a line that `command` types; default `\n`. UEFI's shell takes `\r`. */
  readonly lineEnd?: string | undefined
  /** Host time that the boot may take, in milliseconds; default 300,000. */
  readonly bootTimeoutMs?: number | undefined
  /** Host time that each wait of a test may take, in milliseconds; default 60,000. */
  readonly timeoutMs?: number | undefined
  /** Whether runs are recorded: each test then has a clone; otherwise one machine is restored before each test. Default true, if possible. */
  readonly record?: boolean | undefined
}

/** Options for booting a PC for tests. */
export interface PcBootedOptions extends BootOptionsOfAll<Pc> {
  /**
   * The machine's options, or a function that makes them. By default it has deterministic time, compiles hot code, and has
   * room for 4 clones that write 64 MiB each.
   */
  readonly pc: PcOptions | (() => PcOptions | Promise<PcOptions>)
  /** Makes options that differ for each test's machine, such as new device models. */
  readonly fork?: (() => PcForkOptions) | undefined
}

/** How an Arm board is booted for tests. */
export interface ArmBootedOptions extends BootOptionsOfAll<ArmMachine> {
  /** The machine's options, or a function that makes them. Defaults are as in {@link PcBootedOptions.pc}. */
  readonly arm: ArmMachineOptions | (() => ArmMachineOptions | Promise<ArmMachineOptions>)
  /** Makes options that differ for each test's machine, such as new device models. */
  readonly fork?: (() => ArmForkOptions) | undefined
}

/** Host time that the boot may take, in milliseconds, unless options say otherwise. */
export const BOOT_MS = 300_000
const WAIT_MS = 60_000

/** A machine booted once, from whose snapshot all tests begin. */
export class BootedMachine<Machine extends Pc | ArmMachine = Pc> {
  readonly #booted: Machine
  readonly #instant: Instant<Machine>
  readonly #waits: Omit<TestMachineOptions<Machine>, 'machine'>

  private constructor(booted: Machine, instant: Instant<Machine>, waits: Omit<TestMachineOptions<Machine>, 'machine'>) {
    this.#booted = booted
    this.#instant = instant
    this.#waits = waits
  }

  /**
   * Boots a PC up to the instant at which tests begin.
   *
   * @throws TestError `ERR_TIMEOUT`, `ERR_ENDED` with the guest's output, `ERR_OPTION`; as `createPc`
   */
  static async pc(options: PcBootedOptions): Promise<BootedMachine> {
    const given = typeof options.pc === 'function' ? await options.pc() : options.pc
    const booted = await createBooted(given, options.record !== false)
    return BootedMachine.#bootedTo(booted, given, options.fork ?? (() => ({})), options)
  }

  /** Boots an Arm board. @throws as {@link BootedMachine.pc} */
  static async arm(options: ArmBootedOptions): Promise<BootedMachine<ArmMachine>> {
    const given = typeof options.arm === 'function' ? await options.arm() : options.arm
    const booted = await createArmMachine(bootedOptions(given, options.record !== false))
    return BootedMachine.#bootedTo(booted, given, options.fork ?? (() => ({})), options)
  }

  static #bootedTo<Machine extends Pc | ArmMachine>(
    booted: Machine,
    given: OptionsOf<Machine>,
    changes: () => ChangesOf<Machine>,
    options: BootOptionsOfAll<Machine>,
  ): Promise<BootedMachine<Machine>> {
    return closingOnError(booted, async () => {
      const waits = await bootedTo(booted, options)
      const why = options.record === false ? 'the option record is false' : await whyNoClones(booted, given, changes)
      if (why === undefined) return new BootedMachine(booted, new ClonedInstant(booted, given, changes), waits)
      requireNoWrites(given, why)
      return new BootedMachine(booted, await ResetInstant.at(booted, why), waits)
    })
  }

  /** Why runs are not recorded; undefined: they are. */
  get notRecorded(): string | undefined {
    return this.#instant.notRecorded
  }

  /** The booted machine at the tests' common instant. */
  get booted(): Machine {
    return this.#booted
  }

  /**
   * Runs a test with a machine at the instant.
   *
   * @returns result of the test
   * @throws error of the test
   */
  async run<Result>(action: (machine: TestMachine<Machine>) => Promise<Result>): Promise<Result> {
    const { test, begun } = await this.begin()
    try {
      return await action(test)
    } finally {
      await test.over()
      begun.end()
    }
  }

  /**
   * Returns a machine at the instant, for the fixture of a test runner: `test.over()` and then `begun.end()` end it. Where one
   * machine is put back, it waits until the test before has ended.
   */
  async begin(): Promise<{ readonly test: TestMachine<Machine>; readonly begun: BegunMachine<Machine> }> {
    const begun = await this.#instant.begin()
    return { test: new TestMachine({ machine: begun.machine, ...this.#waits }), begun }
  }

  /** Ends the machine. */
  close(): void {
    this.#booted.close()
  }
}

/** Runs a machine up to the instant. @returns how tests wait from there on */
async function bootedTo<Machine extends Pc | ArmMachine>(
  machine: Machine,
  options: BootOptionsOfAll<Machine>,
): Promise<Omit<TestMachineOptions<Machine>, 'machine'>> {
  const { ready, lineEnd, bootTimeoutMs = BOOT_MS, timeoutMs = WAIT_MS } = options
  const prompt = options.prompt ?? (typeof ready === 'function' ? undefined : ready)
  const boot = new TestMachine({ machine, prompt, lineEnd, timeoutMs: bootTimeoutMs })
  await (typeof ready === 'function' ? ready(boot) : boot.until(ready))
  if (boot.exit !== undefined)
    throw new TestError('ERR_ENDED', `the machine has ended while it was booted: ${boot.exit.reason}`)
  return { prompt, lineEnd, timeoutMs, row: boot.row }
}

async function closingOnError<Result>(machine: { close(): void }, make: () => Promise<Result>): Promise<Result> {
  try {
    return await make()
  } catch (error) {
    machine.close()
    throw error
  }
}
