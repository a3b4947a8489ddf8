import { concatenate } from '@retrap/basics'
import {
  type BundledOptions,
  type BundleNotes,
  bundleOptions,
  createPc,
  type MachineCheckpoint,
  MachineError,
  type Pc,
  type PcForkOptions,
  type PcOptions,
  recordClone,
  recordPc,
} from '@retrap/machine'
import { type ArmForkOptions, ArmMachine, type ArmMachineOptions, recordArmClone } from '@retrap/machine/arm'
import { writeSnapshot } from '@retrap/snapshot'
import { TestError } from './errors.ts'

/** The recorded run of a test. */
export interface RecordedTest {
  /** The bytes of the recording's file. */
  readonly bytes: Uint8Array
  /** Why a page cannot open the file; undefined: it can. */
  readonly notBundled: string | undefined
}

/** A machine at the instant at which all tests begin. */
export interface BegunMachine<Machine> {
  /** The machine, not running. */
  readonly machine: Machine
  /**
   * Ends the recording of the machine's run.
   *
   * @param failure - the test and why it has failed, for people
   * @returns the file, with the instant at which the test began; undefined if not recorded
   */
  recording(failure?: string): Promise<RecordedTest | undefined>
  /** Gives the machine back. */
  end(): void
}

/** Brings tests to the instant at which all of them begin. */
export interface Instant<Machine> {
  /** Why runs are not recorded; undefined: they are. */
  readonly notRecorded: string | undefined
  /** Returns a machine at the instant. */
  begin(): Promise<BegunMachine<Machine>>
}

/** The options of a machine of either board, and the changes of its clone. */
export type OptionsOf<Machine> = Machine extends Pc ? PcOptions : ArmMachineOptions
export type ChangesOf<Machine> = Machine extends Pc ? PcForkOptions : ArmForkOptions

/** Gives each test a clone of its own, whose run is recorded. */
export class ClonedInstant<Machine extends Pc | ArmMachine = Pc> implements Instant<Machine> {
  readonly notRecorded = undefined
  readonly #booted: Machine
  readonly #options: OptionsOf<Machine>
  readonly #changes: () => ChangesOf<Machine>

  /**
   * @param booted - machine that stays at the instant
   * @param options - of that machine; with `keepsPace`, clones' time does not run ahead of the host's
   * @param changes - makes the options that differ for each clone
   */
  constructor(booted: Machine, options: OptionsOf<Machine>, changes: () => ChangesOf<Machine>) {
    this.#booted = booted
    this.#options = options
    this.#changes = changes
  }

  async begin(): Promise<BegunMachine<Machine>> {
    const pieces: Uint8Array[] = []
    const write = (bytes: Uint8Array): void => void pieces.push(bytes)
    const changes = this.#changes()
    const booted: Pc | ArmMachine = this.#booted
    const { bundle, notBundled } = bundleOf({ ...this.#options, ...changes })
    const about: BundleNotes = {
      version: 1,
      bundle: bundle?.options ?? null,
      images: bundle?.images.length ?? 0,
      hasSnapshot: true,
    }
    // No checkpoints: the snapshot has RAM, and only a failure's file gets it.
    const how = { checkpointMs: Infinity, keepsPace: this.#options.keepsPace === true, about }
    const recorder =
      booted instanceof ArmMachine
        ? await recordArmClone(booted, write, how, changes)
        : await recordClone(booted, write, how, changes)
    return {
      machine: recorder.machine as Machine,
      recording: async (failure) => {
        if (failure !== undefined) recorder.history.fail(failure)
        await recorder.end([...(bundle?.images ?? []), await this.#snapshot()])
        return { bytes: concatenate(pieces), notBundled }
      },
      end: () => recorder.machine.close(),
    }
  }

  /** The instant as the bytes of a file. */
  async #snapshot(): Promise<Uint8Array> {
    const { state, pages } = await this.#booted.save()
    const pieces: Uint8Array[] = []
    await writeSnapshot({ description: null, state, pages }, (bytes) => void pieces.push(bytes))
    return concatenate(pieces)
  }
}

/** Options of machines whose tests begin at power-on, unless they say otherwise; of replays too. */
export const POWERED: { readonly jit: true; readonly clock: 'deterministic'; readonly devicePolicy: 'detach' } = {
  jit: true,
  clock: 'deterministic',
  devicePolicy: 'detach',
}

/** Each test begins at power-on, with a machine of its own, whose run is recorded. */
export class PoweredInstant implements Instant<Pc> {
  readonly notRecorded = undefined
  readonly #options: PcOptions

  constructor(options: PcOptions) {
    this.#options = { ...POWERED, ...options }
  }

  async begin(): Promise<BegunMachine<Pc>> {
    const pieces: Uint8Array[] = []
    const write = (bytes: Uint8Array): void => void pieces.push(bytes)
    const { bundle, notBundled } = bundleOf(this.#options)
    const about: BundleNotes = { version: 1, bundle: bundle?.options ?? null, images: bundle?.images.length ?? 0 }
    const recorder = await recordPc(this.#options, write, { checkpointMs: Infinity, about })
    return {
      machine: recorder.pc,
      recording: async (failure) => {
        if (failure !== undefined) recorder.history.fail(failure)
        await recorder.end(bundle?.images ?? [])
        return { bytes: concatenate(pieces), notBundled }
      },
      end: () => recorder.pc.close(),
    }
  }
}

/** The options of a machine as plain data, or why they cannot be. */
function bundleOf(options: PcOptions | ArmMachineOptions): {
  readonly bundle?: BundledOptions
  readonly notBundled?: string
} {
  try {
    return { bundle: bundleOptions(options) }
  } catch (error) {
    if (error instanceof MachineError) return { notBundled: error.message }
    throw error
  }
}

/** Restores one machine before each test; one test at a time. */
export class ResetInstant<Machine extends Pc | ArmMachine> implements Instant<Machine> {
  readonly notRecorded: string
  readonly #machine: Machine
  readonly #checkpoint: MachineCheckpoint
  #last: Promise<unknown> = Promise.resolve()

  private constructor(machine: Machine, checkpoint: MachineCheckpoint, notRecorded: string) {
    this.#machine = machine
    this.#checkpoint = checkpoint
    this.notRecorded = notRecorded
  }

  /** @param machine - a machine that stands still at the instant */
  static async at<Machine extends Pc | ArmMachine>(
    machine: Machine,
    notRecorded: string,
  ): Promise<ResetInstant<Machine>> {
    return new ResetInstant(machine, await machine.checkpoint(), notRecorded)
  }

  async begin(): Promise<BegunMachine<Machine>> {
    const before = this.#last
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last = promise
    await before
    try {
      await this.#checkpoint.reset()
    } catch (error) {
      resolve()
      throw error
    }
    return { machine: this.#machine, recording: async () => undefined, end: resolve }
  }
}

/** Default limit of RAM that a clone may write: most of a machine's RAM is never written. */
const MOST_WRITTEN_BYTES = 64 << 20
const CLONES = 4

/** Options of the machine that tests begin with. */
export const bootedOptions = <Options extends PcOptions | ArmMachineOptions>(
  options: Options,
  wantsClones: boolean,
): Options => ({
  ...{ jit: true, clock: 'deterministic' },
  ...(wantsClones && {
    forks: { clones: CLONES, writtenBytes: Math.min(options.memoryBytes, MOST_WRITTEN_BYTES) },
  }),
  ...options,
})

/** Makes the PC that tests begin with. @throws as `createPc` */
export const createBooted = (options: PcOptions, wantsClones: boolean): Promise<Pc> =>
  createPc(bootedOptions(options, wantsClones))

/** Returns why tests cannot have recorded clones of a machine; undefined if they can. */
export async function whyNoClones<Machine extends Pc | ArmMachine>(
  booted: Machine,
  options: OptionsOf<Machine>,
  changes: () => ChangesOf<Machine>,
): Promise<string | undefined> {
  if ((options.deviceServers ?? []).length > 0) return 'deviceServers: they are of one machine, and a clone has none'
  try {
    const probe = await new ClonedInstant(booted, options, changes).begin()
    probe.end()
    return undefined
  } catch (error) {
    if (error instanceof MachineError && (error.code === 'ERR_FORK' || error.code === 'ERR_OPTION'))
      return error.message
    throw error
  }
}

/** Refuses disks that would keep a test's writes. @throws TestError `ERR_OPTION` */
export function requireNoWrites({ drives = [], flash = [] }: Pick<PcOptions, 'drives' | 'flash'>, why: string): void {
  const isWritten =
    drives.some(({ medium }) => medium !== null && !medium.properties.readOnly) ||
    flash.some(({ readOnly, medium }) => !(readOnly ?? medium.properties.readOnly))
  if (!isWritten) return
  throw new TestError(
    'ERR_OPTION',
    `each test's machine is put back in place (${why}), and a disk would keep what a test writes: open it read-only`,
  )
}
