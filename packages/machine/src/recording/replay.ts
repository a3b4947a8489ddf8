import { openRecording, type Recording, type RecordingMark } from '@retrap/recording'
import { MachineError } from '../errors.ts'
import type { MachineExit } from '../machine-exit.ts'
import type { MachineRunOptions } from '../machine-life.ts'
import { Pc } from '../pc.ts'
import type { PcOptions } from '../pc-options.ts'
import { differenceOf } from '../snapshot-rules.ts'
import { recordedMachine, type RunDescription } from './description.ts'
import { PcGate } from './pc-gate.ts'
import { type Divergence, ReplayGate } from './replay-gate.ts'

/** A recording, wherever it is. */
export interface RecordingSource {
  /** Its size in bytes. */
  readonly bytes: number
  /** Reads some of it. @returns fewer bytes where it ends */
  read(offset: number, bytes: number): Uint8Array | Promise<Uint8Array>
}

/** How a run is replayed. */
export interface ReplayPcOptions {
  /** Told of each machine before it runs: going back makes another one. Connect its outputs here. */
  readonly onMachine?: ((pc: Pc) => void) | undefined
}

/** Why a replay has stopped. */
export type ReplayExit =
  /** The guest or the caller has ended it, as in `pc.run`. */
  | MachineExit
  /** It is where it was to go. */
  | { readonly reason: 'arrived' }
  /** The recording has no more. */
  | { readonly reason: 'end-of-recording' }
  /** It is not the run that was recorded. */
  | ({ readonly reason: 'diverged' } & Divergence)

/**
 * A recorded run that is run again. It needs neither images nor networks: options name the same devices, and what their
 * back ends are is in the recording.
 */
export class PcReplay {
  /** Where the recording ends, in instructions. */
  readonly end: number
  /** Instants with names. */
  readonly marks: readonly RecordingMark[]
  /** The recording was cut: it ends with what was written last. */
  readonly isCut: boolean
  /** What the program that recorded it has to say. */
  readonly about: unknown
  readonly #recording: Recording
  readonly #options: PcOptions
  readonly #onMachine: (pc: Pc) => void
  #current: { readonly pc: Pc; readonly gate: ReplayGate } | undefined

  private constructor(recording: Recording, options: PcOptions, onMachine: (pc: Pc) => void) {
    this.#recording = recording
    this.#options = options
    this.#onMachine = onMachine
    this.end = recording.end.instructions
    this.marks = recording.marks
    this.isCut = recording.isCut
    this.about = (recording.description as RunDescription).about
  }

  /** @internal Use {@link replayPc}. */
  static async open(source: RecordingSource, options: PcOptions, given: ReplayPcOptions): Promise<PcReplay> {
    const recording = await openRecording(source)
    const description = recording.description as Partial<RunDescription> | null
    if (description?.version !== 1)
      throw new MachineError('ERR_OPTION', `the recording is of version ${String(description?.version)}: expected 1`)
    // Media need not be there.
    const here = { ...recordedMachine(options), media: description.machine?.media ?? [] }
    const difference = differenceOf(description.machine!, here)
    if (difference !== undefined)
      throw new MachineError('ERR_OPTION', `the recording is of another machine: ${difference}`)
    const replay = new PcReplay(recording, options, given.onMachine ?? (() => undefined))
    await replay.#make()
    return replay
  }

  async #make(): Promise<{ readonly pc: Pc; readonly gate: ReplayGate }> {
    const { backEnds } = this.#recording.description as RunDescription
    const gate: ReplayGate = new ReplayGate(this.#recording, () => pc.domain.vcpus)
    const pc: Pc = await Pc.create(this.#options, new PcGate(gate, backEnds, this.#options))
    this.#current?.pc.close()
    this.#current = { pc, gate }
    this.#onMachine(pc)
    return this.#current
  }

  /** The machine as it is now. What is typed to it, or sent, does not reach it. */
  get pc(): Pc {
    return this.#current!.pc
  }

  /** Instructions that its vCPUs have retired. */
  get instructions(): number {
    return this.pc.domain.instructions
  }

  /** Runs on to the end of the recording. @throws MachineError as `pc.run` */
  run(options: MachineRunOptions = {}): Promise<ReplayExit> {
    return this.goto(this.end, options)
  }

  /**
   * Goes to where the vCPUs have retired so many instructions, forwards or backwards: to the first instant there.
   *
   * @returns `arrived`, or why it is elsewhere
   * @throws MachineError `ERR_OPTION` for what is not in the recording; as `pc.run`
   */
  async goto(instruction: number, options: MachineRunOptions = {}): Promise<ReplayExit> {
    if (!Number.isSafeInteger(instruction) || instruction < 0 || instruction > this.end)
      throw new MachineError('ERR_OPTION', `instruction ${instruction}: expected 0 to ${this.end}`)
    const { pc, gate } = instruction < this.instructions ? await this.#make() : this.#current!
    gate.limit = instruction
    const exit = await pc.run(options)
    if (gate.divergence !== null) return { reason: 'diverged', ...gate.divergence }
    if (exit.reason !== 'stopped' || this.instructions < instruction) {
      const isShort = exit.reason === 'stopped' && gate.isAtEnd
      return isShort ? { reason: 'end-of-recording' } : exit
    }
    return { reason: instruction === this.end ? 'end-of-recording' : 'arrived' }
  }

  /** Ends the machine. */
  close(): void {
    this.#current?.pc.close()
  }
}

/**
 * Opens a recording, to run it again.
 *
 * @param options - those that it was recorded with; back ends may be any
 * @throws RecordingError for a file that is none, or is damaged; MachineError `ERR_OPTION` for options of another machine; as
 *   `createPc`
 */
export function replayPc(options: PcOptions, source: RecordingSource, given: ReplayPcOptions = {}): Promise<PcReplay> {
  return PcReplay.open(source, options, given)
}
