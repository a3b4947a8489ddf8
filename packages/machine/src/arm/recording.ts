import type { ArmDomain } from '@retrap/hvm/arm'
import { openRecording, type Recording, type RecordingMark, RecordingWriter } from '@retrap/recording'
import { crc32 } from '@retrap/snapshot'
import { requireSupported } from '../combinations/combinations.ts'
import { traitsOf } from '../combinations/traits.ts'
import { MachineError } from '../errors.ts'
import { epochOf } from '../life/host.ts'
import type { MachineRunOptions } from '../life/machine-life.ts'
import { backEndFacts, type BackEndFacts, BackEndGate } from '../recording/back-end-gate.ts'
import { noteAll, RecordGate } from '../recording/record-gate.ts'
import { type PacedRun, ReplayGate } from '../recording/replay-gate.ts'
import type { RecordingSource } from '../recording/replay.ts'
import type { ReplayExit } from '../recording/replay-exit.ts'
import { differenceOf } from '../snapshot/snapshot-rules.ts'
import { ArmMachine } from './machine.ts'
import type { ArmMachineOptions } from './machine-options.ts'
import type { ArmKind } from './virt-board.ts'

/** How a run of an Arm board is recorded. */
export interface RecordArmOptions {
  /** A program's own notes in the file: plain JSON data. */
  readonly about?: unknown
  /** As that of `recordPc`. */
  readonly keepsPace?: boolean | undefined
}

/** An Arm board whose run is recorded. */
export interface ArmRecorder {
  /** The machine. It is run and typed to as any other. */
  readonly machine: ArmMachine
  /** Instructions that its vCPUs have retired. */
  readonly instructions: number
  /** Names this instant. */
  mark(name: string): void
  /** Ends the recording; to be called when the machine does not run. @throws what writing threw */
  end(): Promise<void>
}

/** A recording's description of an Arm board's run. */
interface ArmRunDescription extends PacedRun {
  readonly version: 1
  readonly machine: object
  readonly backEnds: BackEndFacts
  readonly about: unknown
}

/** Returns the options that a replay must be made with again. */
function recordedMachine(options: ArmMachineOptions): object {
  const { memoryBytes, cpus = 1, gic = 3, kernel, initrd, commandLine = '' } = options
  const images = [kernel, initrd, new TextEncoder().encode(commandLine)]
  return {
    machine: 'virt',
    memoryBytes,
    cpus,
    gic,
    epochSeconds: epochOf(options),
    images: images.map((bytes) => (bytes === undefined ? 0 : crc32(bytes))),
  }
}

const notesOf = (domain: ArmDomain): Uint8Array =>
  noteAll(domain.vcpus, ({ processor }) => {
    const saved = Object.entries(processor.registers.save())
    return Object.fromEntries(
      saved.map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : value]),
    )
  })

/**
 * Makes an Arm board whose run is recorded, as `recordPc` does. It needs deterministic time. The recording has no checkpoints:
 * a replay begins at power-on.
 *
 * @param write - takes the file's bytes, piece by piece, in order; it may return a promise
 * @throws MachineError `ERR_OPTION` for a machine that cannot be recorded; as `createArmMachine`
 */
export async function recordArmMachine(
  options: ArmMachineOptions,
  write: (bytes: Uint8Array) => unknown,
  { about = null, keepsPace = false }: RecordArmOptions = {},
): Promise<ArmRecorder> {
  const verb = options.snapshot === undefined ? 'record' : 'record-on'
  requireSupported(verb, traitsOf({ ...options, machine: 'virt' }, 'recorded'))
  const backEnds = backEndFacts(options, [])
  const description: ArmRunDescription = {
    version: 1,
    machine: recordedMachine(options),
    backEnds,
    about,
    paced: keepsPace,
  }
  const writer = new RecordingWriter(write, description)
  const gate = new RecordGate(writer, keepsPace, () => notesOf(machine.domain))
  const machine: ArmMachine = await ArmMachine.create(options, new BackEndGate(gate, backEnds, options))
  return {
    machine,
    get instructions() {
      return machine.domain.instructions
    },
    mark: (name) => writer.mark(gate.instant(), name),
    end: () => writer.end(gate.instant()),
  }
}

/** A recorded run of an Arm board that is run again, from power-on. */
export class ArmReplay {
  /** Where the recording ends, in instructions. */
  readonly end: number
  /** Instants with names. */
  readonly marks: readonly RecordingMark[]
  /** The recording was cut: it ends with what was written last. */
  readonly isCut: boolean
  /** The notes of the program that recorded it. */
  readonly about: unknown
  readonly #recording: Recording
  readonly #options: ArmMachineOptions
  readonly #onMachine: (machine: ArmMachine) => void
  #current!: { readonly machine: ArmMachine; readonly gate: ReplayGate }

  private constructor(recording: Recording, options: ArmMachineOptions, onMachine: (machine: ArmMachine) => void) {
    this.#recording = recording
    this.#options = options
    this.#onMachine = onMachine
    this.end = recording.end.instructions
    this.marks = recording.marks
    this.isCut = recording.isCut
    this.about = (recording.description as ArmRunDescription).about
  }

  /** @internal Use {@link replayArmMachine}. */
  static async open(
    source: RecordingSource,
    options: ArmMachineOptions,
    onMachine: (machine: ArmMachine) => void,
  ): Promise<ArmReplay> {
    const recording = await openRecording(source)
    const description = recording.description as Partial<ArmRunDescription> | null
    if (description?.version !== 1)
      throw new MachineError('ERR_OPTION', `the recording is of version ${String(description?.version)}: expected 1`)
    requireSupported('replay', traitsOf({ ...options, machine: 'virt' }, 'replayed'))
    const difference = differenceOf(description.machine!, recordedMachine(options))
    if (difference !== undefined)
      throw new MachineError('ERR_OPTION', `the recording is of another machine: ${difference}`)
    const replay = new ArmReplay(recording, options, onMachine)
    await replay.#make()
    return replay
  }

  async #make(): Promise<void> {
    const { backEnds } = this.#recording.description as ArmRunDescription
    const gate: ReplayGate = new ReplayGate(this.#recording, () => notesOf(machine.domain))
    // Arm's instructions are not executed one by one.
    gate.isExact = false
    const inputs = new BackEndGate<ArmKind>(gate, backEnds, this.#options)
    const machine: ArmMachine = await ArmMachine.create(this.#options, inputs)
    this.#current = { machine, gate }
    this.#onMachine(machine)
  }

  /** The machine as it is now. Keys and bytes that are sent to it do not reach it. */
  get machine(): ArmMachine {
    return this.#current.machine
  }

  /** Instructions that its vCPUs have retired. */
  get instructions(): number {
    return this.machine.domain.instructions
  }

  /** Runs on to the end of the recording. @throws MachineError as `machine.run` */
  run(options: MachineRunOptions = {}): Promise<ReplayExit> {
    return this.goto(this.end, options)
  }

  /**
   * Goes to where the vCPUs have retired so many instructions, or to the end of the turn that is under way there. Backwards, it
   * begins anew.
   *
   * @returns `arrived`, or why it is elsewhere
   * @throws MachineError `ERR_OPTION` for what is not in the recording; as `machine.run`
   */
  async goto(instruction: number, options: MachineRunOptions = {}): Promise<ReplayExit> {
    if (!Number.isSafeInteger(instruction) || instruction < 0 || instruction > this.end)
      throw new MachineError('ERR_OPTION', `instruction ${instruction}: expected 0 to ${this.end}`)
    if (instruction < this.instructions) {
      this.machine.close()
      await this.#make()
    }
    const { machine, gate } = this.#current
    gate.limit = instruction
    const exit = await machine.run(options)
    if (gate.divergence !== null) return { reason: 'diverged', ...gate.divergence }
    if (exit.reason !== 'stopped') return exit
    if (this.instructions < instruction) return gate.isAtEnd ? { reason: 'end-of-recording' } : exit
    return { reason: instruction === this.end ? 'end-of-recording' : 'arrived' }
  }

  /** Ends the machine. */
  close(): void {
    this.machine.close()
  }
}

/**
 * Opens a recording of an Arm board, to run it again.
 *
 * @param options - those that it was recorded with; back ends may be any
 * @param onMachine - told of each machine before it runs: going back makes another one. Connect its outputs here
 * @throws RecordingError for an invalid or damaged file; MachineError `ERR_OPTION` for options of another machine; as
 *   `createArmMachine`
 */
export function replayArmMachine(
  options: ArmMachineOptions,
  source: RecordingSource,
  onMachine: (machine: ArmMachine) => void = () => undefined,
): Promise<ArmReplay> {
  return ArmReplay.open(source, options, onMachine)
}
