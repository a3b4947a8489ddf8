import {
  CheckpointStore,
  type Instant,
  openRecording,
  type Recording,
  RecordingError,
  type RecordingMark,
} from '@retrap/recording'
import type { GdbTarget } from '@retrap/gdb'
import type { PhysicalRange } from '@retrap/hvm'
import type { PcGdbOptions } from '../debugger/gdb-target.ts'
import { MachineError } from '../errors.ts'
import type { MachineRunOptions } from '../life/machine-life.ts'
import { Pc } from '../pc/pc.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { differenceOf, OneByOne } from '../snapshot/snapshot-rules.ts'
import { recordedMachine, type RunDescription, noteRegisters } from './description.ts'
import { type Checkpoints, CheckpointTaker } from './checkpoints.ts'
import { requireSupported } from '../combinations/combinations.ts'
import { traitsOf } from '../combinations/traits.ts'
import { BackEndGate } from './back-end-gate.ts'
import type { ReplayDebugger, TravellingMachine } from './replay-debugger.ts'
import type { ReplayExit } from './replay-exit.ts'
import { ReplayGate } from './replay-gate.ts'
import type { SearchMachine } from './search-machine.ts'
import type { LastWriter, Past, RebuiltPc } from './who-wrote.ts'
import { recordedFlash } from './recorded-flash.ts'
import { readCheckpoint, type StartingPoint, storedCheckpoint } from './saved-checkpoints.ts'

/** A recording, wherever it is. */
export interface RecordingSource {
  /** Size in bytes. */
  readonly bytes: number
  /** Reads some of it. @returns fewer bytes where it ends */
  read(offset: number, bytes: number): Uint8Array | Promise<Uint8Array>
}

/** How a run is replayed. */
export interface ReplayPcOptions {
  /** Called for each machine before it runs: going back makes another one. Connect its outputs here. */
  readonly onMachine?: ((pc: Pc) => void) | undefined
  /** Where the replay begins, in instructions; default at power-on. The nearest checkpoint makes that short. */
  readonly at?: number | 'end' | undefined
  /** Host time between two checkpoints, in milliseconds; default 1000. `Infinity`: none is taken on the way. */
  readonly checkpointMs?: number | undefined
}

/** Bytes of checkpoints in memory: as much again is left for those of the file, and what is made of both. */
const MOST_STORED_BYTES = 128 * 2 ** 20
/** Instructions that are executed in less time than it takes to make another machine. */
const WORTH_INSTRUCTIONS = 20_000_000

const wasClosed = (): MachineError => new MachineError('ERR_STATE', 'the replay was closed')

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
  /** The notes of the program that recorded it. */
  readonly about: unknown
  readonly #recording: Recording
  readonly #options: PcOptions
  readonly #onMachine: (pc: Pc) => void
  readonly #store: Checkpoints = new CheckpointStore(MOST_STORED_BYTES)
  /** Checkpoints of the machine that is recorded just now. */
  #recorded: Checkpoints | undefined
  readonly #checkpointMs: number | undefined
  /** Searches: one at a time, as there is one of each model of the caller. */
  readonly #searches = new OneByOne()
  /** The machine of `whoWrote`, from question to question. */
  #search: SearchMachine | undefined
  #isClosed = false
  #current: { readonly pc: Pc; readonly gate: ReplayGate; readonly taker: CheckpointTaker } | undefined

  private constructor(recording: Recording, options: PcOptions, given: ReplayPcOptions) {
    this.#recording = recording
    this.#options = options
    this.#onMachine = given.onMachine ?? (() => undefined)
    this.#checkpointMs = given.checkpointMs
    this.end = recording.end.instructions
    this.marks = recording.marks
    this.isCut = recording.isCut
    this.about = (recording.description as RunDescription).about
  }

  /** @internal Use {@link replayPc}. A method, since a static block would keep this class in pages that never replay. */
  static async open(source: RecordingSource, options: PcOptions, given: ReplayPcOptions): Promise<PcReplay> {
    const recording = await openRecording(source)
    const description = recording.description as Partial<RunDescription> | null
    if (description?.version !== 1)
      throw new MachineError('ERR_OPTION', `the recording is of version ${String(description?.version)}: expected 1`)
    requireSupported('replay', traitsOf(options, 'replayed'))
    // Media need not be there.
    const here = { ...recordedMachine(options), media: description.machine?.media ?? [] }
    const difference = differenceOf(description.machine!, here)
    if (difference !== undefined)
      throw new MachineError('ERR_OPTION', `the recording is of another machine: ${difference}`)
    const replay = new PcReplay(recording, withRecordedFlash(options, description.backEnds), given)
    const at = given.at === 'end' ? replay.end : (given.at ?? 0)
    replay.#checkPlace(at)
    await replay.#makeNear(at)
    if (replay.instructions < at) await replay.#goOn(at, {})
    return replay
  }

  /**
   * @internal The past of a machine that is recorded just now, and stands still. The machine is at the last checkpoint that is
   * not after an instruction.
   */
  static async ofLive(
    recording: Recording,
    options: PcOptions,
    recorded: Checkpoints,
    instruction: number,
  ): Promise<PcReplay> {
    const { backEnds } = recording.description as RunDescription
    const replay = new PcReplay(recording, withRecordedFlash(options, backEnds), {})
    replay.#recorded = recorded
    await replay.#makeNear(instruction)
    return replay
  }

  /** Makes the machine at the last checkpoint that is not after an instruction, or at power-on. */
  async #makeNear(instruction: number): Promise<void> {
    const [inMemory, inFile] = [
      this.#store.nearest(instruction),
      this.#recording.checkpoints.findLastIndex(({ instructions }) => instructions <= instruction),
    ]
    const memoryAt = this.#store.instants[inMemory]?.instructions ?? -1
    const fileAt = this.#recording.checkpoints[inFile]?.instructions ?? -1
    const inRecorder = this.#recorded?.nearest(instruction) ?? -1
    const recorderAt = this.#recorded?.instants[inRecorder]?.instructions ?? -1
    if (memoryAt >= Math.max(fileAt, recorderAt) && memoryAt >= 0)
      return this.#make(storedCheckpoint(this.#store, inMemory))
    const isAnywhere = Math.max(memoryAt, fileAt, recorderAt) >= 0
    // The snapshot's pages are read by the machine that is recorded.
    if (!isAnywhere && this.#recorded !== undefined && this.#options.snapshot !== undefined)
      throw new MachineError('ERR_STATE', `there is no checkpoint at or before instruction ${instruction}`)
    if (recorderAt > fileAt) {
      this.#store.clear()
      await this.#make(storedCheckpoint(this.#recorded!, inRecorder))
      return
    }
    if (fileAt < 0) {
      this.#store.clear()
      await this.#make()
      await this.#current!.taker.take()
      return
    }
    const from = await readCheckpoint(this.#recording, inFile, this.#options.memoryBytes)
    // The machine begins at a checkpoint of the file: the store gets only checkpoints from there on.
    this.#store.clear()
    await this.#make(from)
  }

  async #make(from?: StartingPoint): Promise<void> {
    this.#current?.pc.close()
    const { pc, gate, machine } = await this.#build(from)
    this.#current = {
      pc,
      gate,
      taker: new CheckpointTaker({ machine, gate, store: this.#store, intervalMs: this.#checkpointMs }),
    }
    this.#onMachine(pc)
  }

  /** @throws MachineError `ERR_STATE` if the replay was closed, meanwhile too */
  async #build(from?: StartingPoint): Promise<RebuiltPc> {
    if (this.#isClosed) throw wasClosed()
    const { backEnds } = this.#recording.description as RunDescription
    const gate: ReplayGate = new ReplayGate(this.#recording, () => noteRegisters(pc.domain.vcpus), from?.position)
    if (from !== undefined) gate.willRestore(from.parties)
    const pcGate = new BackEndGate(gate, backEnds, this.#options)
    const options =
      from === undefined ? this.#options : { ...this.#options, snapshot: { state: from.pc, pages: from.pages } }
    const pc: Pc = await Pc.create(options, pcGate)
    if (this.#isClosed) {
      pc.close()
      throw wasClosed()
    }
    try {
      if (from !== undefined) gate.restored(from.retired)
    } catch (error) {
      pc.close()
      throw new RecordingError('ERR_DAMAGED', 'the recording has a checkpoint of another form', { cause: error })
    }
    return { pc, gate, machine: pcGate.machine }
  }

  /** The machine as it is now. Keys and bytes that are sent to it do not reach it. */
  get pc(): Pc {
    return this.#current!.pc
  }

  /** Instructions that its vCPUs have retired. */
  get instructions(): number {
    return this.pc.domain.instructions
  }

  /** Runs on to the end of the recording. @throws MachineError as `pc.run` */
  run(options: MachineRunOptions = {}): Promise<ReplayExit> {
    return this.#goOn(this.end, options)
  }

  /**
   * Goes to where the vCPUs have retired this many instructions, forwards or backwards: to the first instant there. It begins
   * at the nearest checkpoint, so that what the guest puts out on the way may not be seen.
   *
   * @returns `arrived`, or why it is elsewhere
   * @throws MachineError `ERR_OPTION` for what is not in the recording; as `pc.run`
   */
  async goto(instruction: number, options: MachineRunOptions = {}): Promise<ReplayExit> {
    this.#checkPlace(instruction)
    if (instruction < this.instructions || this.#hasBetween(this.instructions, instruction))
      await this.#makeNear(instruction)
    return this.#goOn(instruction, options)
  }

  #checkPlace(instruction: number): void {
    if (!Number.isSafeInteger(instruction) || instruction < 0 || instruction > this.end)
      throw new MachineError('ERR_OPTION', `instruction ${instruction}: expected 0 to ${this.end}`)
  }

  /** Whether there is a checkpoint on the way that is worth another machine. */
  #hasBetween(from: number, to: number): boolean {
    const least = from + WORTH_INSTRUCTIONS
    const isThere = ({ instructions }: Instant): boolean => instructions > least && instructions <= to
    const stores = [this.#store.instants, this.#recorded?.instants ?? [], this.#recording.checkpoints]
    return stores.some((instants) => instants.some(isThere))
  }

  async #goOn(instruction: number, options: MachineRunOptions): Promise<ReplayExit> {
    const { pc, gate } = this.#current!
    gate.limit = instruction
    const exit = await pc.run(options)
    if (gate.divergence !== null) return { reason: 'diverged', ...gate.divergence }
    if (exit.reason !== 'stopped' || this.instructions < instruction) {
      const isShort = exit.reason === 'stopped' && gate.isAtEnd
      return isShort ? { reason: 'end-of-recording' } : exit
    }
    return { reason: instruction === this.end ? 'end-of-recording' : 'arrived' }
  }

  /** Shows the run to gdb, which goes through it in both directions. @returns what a `GdbSession` takes */
  async gdbTarget(options: PcGdbOptions): Promise<GdbTarget> {
    const [{ replayGdbTarget }, debug] = await Promise.all([import('./replay-gdb-target.ts'), this.debugger()])
    return replayGdbTarget(this, debug, options)
  }

  async #whoWrote(ranges: readonly PhysicalRange[], options: MachineRunOptions): Promise<LastWriter> {
    const { findWriter } = await import('./who-wrote.ts')
    this.#search ??= await this.#beginSearch()
    const past = this.#past(this.#search)
    if (!traitsOf(this.#options).has('deterministic-model')) return findWriter(past, ranges, options)
    // Where the search leaves the machine is at hand.
    await this.#current!.taker.take()
    let isElsewhere = false
    const at = async (from?: StartingPoint): Promise<RebuiltPc> => {
      isElsewhere = true
      return past.at(from)
    }
    try {
      return await findWriter({ ...past, at }, ranges, options)
    } finally {
      // Models of the caller were in other machines meanwhile.
      past.discard()
      if (isElsewhere) await this.#makeAt(past.now)
    }
  }

  async #beginSearch(): Promise<SearchMachine> {
    const { SearchMachine } = await import('./search-machine.ts')
    return new SearchMachine((from) => this.#build(from))
  }

  /** Makes the machine as it is at an instant. */
  async #makeAt({ instructions, round }: Instant, options: MachineRunOptions = {}): Promise<ReplayExit> {
    await this.#makeNear(instructions)
    // A checkpoint may be of a later round.
    if (this.#current!.gate.round > round && instructions > 0) await this.#makeNear(instructions - 1)
    const { gate } = this.#current!
    gate.limitRound = round
    try {
      return await this.#goOn(instructions, options)
    } finally {
      gate.limitRound = 0
    }
  }

  #past(machine: SearchMachine): Past {
    const { pc, gate } = this.#current!
    return {
      pc,
      now: gate.instant(),
      recording: this.#recording,
      store: this.#store,
      memoryBytes: this.#options.memoryBytes,
      at: (from) => machine.at(from),
      discard: () => machine.close(),
    }
  }

  /** A debugger that goes backwards too. Its machine is the replay's. */
  async debugger(): Promise<ReplayDebugger> {
    const { attachReplayDebugger } = await import('./replay-debugger.ts')
    return attachReplayDebugger(this.travelling())
  }

  /** @internal Goes to an instant: `goto` goes to the first one with this many instructions. */
  toInstant(instant: Instant, options: MachineRunOptions): Promise<ReplayExit> {
    return this.#makeAt(instant, options)
  }

  /** @internal The run as its debugger sees it. */
  travelling(): TravellingMachine {
    const replay = (): PcReplay => this
    return {
      get pc() {
        return replay().pc
      },
      get instructions() {
        return replay().instructions
      },
      end: this.end,
      goto: (instruction, options) => this.goto(instruction, options),
      keep: async () => void (await this.#current!.taker.take()),
      makeNear: (instruction) => this.#makeNear(instruction),
      goOn: (instruction, options) => this.#goOn(instruction, options),
      whoWrote: (ranges, options) => this.#searches.do(() => this.#whoWrote(ranges, options)),
    }
  }

  /** Ends the machine. Where it is just going somewhere else, or searched, that ends with MachineError `ERR_STATE`. */
  close(): void {
    this.#isClosed = true
    this.#search?.close()
    this.#current?.pc.close()
  }
}

/** The guest's changes of flash memories now are not to reach their media. */
const withRecordedFlash = (options: PcOptions, backEnds: RunDescription['backEnds'] | undefined): PcOptions =>
  options.flash === undefined ? options : { ...options, flash: recordedFlash(options.flash, backEnds?.flash) }

/**
 * Opens a recording, to run it again.
 *
 * @param options - those that it was recorded with; back ends may be any
 * @throws RecordingError for an invalid or damaged file; MachineError `ERR_OPTION` for options of another machine; as
 *   `createPc`
 */
export function replayPc(options: PcOptions, source: RecordingSource, given: ReplayPcOptions = {}): Promise<PcReplay> {
  return PcReplay.open(source, options, given)
}
