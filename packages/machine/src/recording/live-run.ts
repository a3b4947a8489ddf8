import type { AudioBackend } from '@retrap/device'
import type { GdbTarget } from '@retrap/gdb'
import type { PhysicalRange } from '@retrap/hvm'
import type { RecordingIndex, RecordingMark, RecordingWriter } from '@retrap/recording'
import type { MachineGdbOptions } from '../debugger/machine-gdb-target.ts'
import { requireSupported } from '../refusals/refusals.ts'
import { traitsOf } from '../refusals/traits.ts'
import { MachineError } from '../errors.ts'
import type { MachineExit } from '../lifecycle/machine-exit.ts'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { presentNs } from './input-gate.ts'
import type { GuestTime, ReplayPlace } from './guest-time.ts'
import type { CheckpointTaker } from './checkpoints.ts'
import { endOf, type RecordGate } from './record-gate.ts'
import type { RecordedKind, RunDebugging } from './description.ts'
import type { MachineReplay } from './replay.ts'
import { attachReplayDebugger, type ReplayDebugger } from './replay-debugger.ts'
import { droppedBefore, type ReplayExit } from './replay-hits.ts'
import { replayGdbTarget } from './replay-gdb-target.ts'
import type { TravellingMachine } from './travelling-machine.ts'
import type { LastWriter } from './who-wrote.ts'

/** Options for debugging a machine while it is recorded. */
export interface LiveDebugOptions {
  /** Reads back the recorder's data. @returns fewer bytes at the end */
  read(offset: number, bytes: number): Uint8Array | Promise<Uint8Array>
  /** Runs the machine; default `pc.run`. A program that pauses the machine overrides it. */
  readonly run?: ((options: MachineRunOptions) => Promise<MachineExit>) | undefined
  /** Receives the exit when the machine ends. */
  readonly onExit?: ((exit: MachineExit) => void) | undefined
  /** Receives errors of `run`, such as a failed write of the recording; the debugger's command rejects with the same error. */
  readonly onFailure?: ((error: unknown) => void) | undefined
}

/** The parts of a recorded run. */
export interface LiveRunParts<K extends MachineKind, M extends Machine<K>> extends Omit<LiveDebugOptions, 'read'> {
  readonly kind: RecordedKind<K, M>
  readonly debugging: RunDebugging<K>
  readonly machine: M
  readonly options: K['options']
  readonly gate: RecordGate
  readonly writer: RecordingWriter
  readonly taker: CheckpointTaker
  readonly recorder: { readonly begin: number }
  /** Makes the past near an instruction. Here, as a page that records nothing would load the class otherwise. */
  openPast(index: RecordingIndex, options: K['options'], instruction: number): Promise<MachineReplay<K, M>>
  /** Instants with names. */
  readonly marks: readonly RecordingMark[]
}

/** Discards the speaker's sound of a past machine. */
const SILENT: AudioBackend = { play: () => undefined }

/**
 * A machine that is being recorded, with its log so far. A debugger moves back and forth in a second machine, which replays the
 * log; meanwhile the recorded machine stands still.
 */
export class LiveRun<K extends MachineKind, M extends Machine<K>> implements TravellingMachine<M> {
  readonly end: number = Infinity
  readonly #parts: LiveRunParts<K, M>
  /** The recording up to the machine's instant. */
  #past: MachineReplay<K, M> | undefined
  /** The machine is where the debugger is. */
  #isLive = true
  #exit: MachineExit | undefined
  #isClosed = false

  /** @throws MachineError `ERR_OPTION` for a machine with deterministic models of the caller, which cannot be in two machines */
  constructor(parts: LiveRunParts<K, M>) {
    const { kind, options } = parts
    requireSupported('reverse', traitsOf({ ...options, machine: kind.board(options) }, 'recorded'))
    this.#parts = parts
  }

  get begin(): number {
    return this.#parts.recorder.begin
  }

  get pc(): M {
    return this.#isLive ? this.#parts.machine : this.#past!.machine
  }

  get instructions(): number {
    return this.pc.domain.instructions
  }

  /** The recorded machine's current instruction. */
  get now(): number {
    return this.#parts.machine.domain.instructions
  }

  forwards(): void {
    if (this.instructions >= this.now) this.#isLive = true
  }

  /** Goes to an instruction of the recorded run; beyond the present, the machine runs up to it. */
  async goto(place: ReplayPlace, options: MachineRunOptions = {}): Promise<ReplayExit> {
    this.#check()
    if (typeof place !== 'number')
      return 'ns' in place
        ? this.#gotoTime(place, options)
        : (await this.#goBack(place.instructions)).goto(place, options)
    if (!Number.isSafeInteger(place) || place < 0)
      throw new MachineError('ERR_OPTION', `instruction ${place}: expected a whole number from 0 on`)
    if (place < this.begin) throw droppedBefore(this.begin, place)
    if (place >= this.now) {
      this.#isLive = true
      return place === this.now ? { reason: 'arrived' } : this.#goOnLive(place, options)
    }
    const past = await this.#goBack(place)
    return past.goto(place, options)
  }

  async #gotoTime(time: GuestTime, options: MachineRunOptions): Promise<ReplayExit> {
    const now = this.#parts.machine.domain.clock.now()
    if (time.ns >= now)
      throw new MachineError(
        'ERR_OPTION',
        `${time.ns} ns: expected an earlier time than ${now} ns, where the machine is`,
      )
    return (await this.#goBack(this.begin)).goto(time, options)
  }

  async keep(): Promise<void> {
    this.#check()
    if (this.#isLive) await this.#parts.taker.take()
    else await this.#past!.travelling().keep()
  }

  async makeNear(instruction: number): Promise<void> {
    const isNew = this.#past === undefined
    const past = await this.#goBack(instruction)
    if (!isNew) await past.travelling().makeNear(instruction)
  }

  async goOn(instruction: number, options: MachineRunOptions): Promise<ReplayExit> {
    this.#check()
    if (this.#isLive) return this.#goOnLive(instruction, options)
    const { now } = this
    // A search also looks at the events right after the end.
    return this.#past!.travelling().goOn(instruction > now + 1 ? now : instruction, options)
  }

  async whoWrote(ranges: readonly PhysicalRange[], options: MachineRunOptions): Promise<LastWriter> {
    const isLive = this.#isLive
    const past = await this.#goBack(this.instructions)
    try {
      if (isLive) {
        // Rounds may have passed since the last instruction: a device has written, an interrupt was delivered.
        const exit = await past.toInstant(this.#parts.gate.instant(), options)
        if (exit.reason !== 'arrived' && exit.reason !== 'end-of-recording') return { by: 'unknown', exit }
      }
      return await past.travelling().whoWrote(ranges, options)
    } finally {
      this.#isLive = isLive
    }
  }

  /** Returns the past; of one that is new, the machine is near an instruction. */
  async #goBack(instruction: number): Promise<MachineReplay<K, M>> {
    this.#check()
    const { options, writer, gate } = this.#parts
    if (this.#past === undefined) {
      const index = await writer.soFar(endOf(gate, this.#parts.machine.domain))
      const past = await this.#parts.openPast(index, unheard(options), instruction)
      if (this.#isClosed) past.close()
      this.#check()
      this.#past = past
    }
    this.#isLive = false
    return this.#past
  }

  async #goOnLive(instruction: number, options: MachineRunOptions): Promise<ReplayExit> {
    if (this.#exit !== undefined) return this.#exit
    const { machine, gate, onExit, onFailure, run = (limits) => machine.run(limits) } = this.#parts
    this.#past?.close()
    this.#past = undefined
    gate.limit = instruction
    try {
      const exit = await run(options)
      if (exit.reason === 'stopped') return this.now >= instruction ? { reason: 'arrived' } : exit
      if (exit.reason !== 'timeout') {
        this.#exit = exit
        onExit?.(exit)
      }
      return exit
    } catch (error) {
      onFailure?.(error)
      throw error
    } finally {
      gate.limit = Infinity
    }
  }

  #check(): void {
    if (this.#isClosed) throw new MachineError('ERR_STATE', 'the recording has ended, or has another debugger')
  }

  /** Returns a debugger for the run so far. */
  debugger(): ReplayDebugger<M> {
    return attachReplayDebugger(this, this.#parts.debugging)
  }

  /** Shows the machine to gdb. */
  gdbTarget(options: MachineGdbOptions): Promise<GdbTarget> {
    const run = (): this => this
    const recorded = {
      get pc() {
        return run().pc
      },
      get instructions() {
        return run().instructions
      },
      get ns() {
        return presentNs(run().pc.domain)
      },
      get end() {
        return run().now
      },
      get begin() {
        return run().begin
      },
      marks: this.#parts.marks,
      goto: (place: ReplayPlace, limits: MachineRunOptions) => this.goto(place, limits),
      goFree: async (limits: MachineRunOptions) => {
        await this.goto(this.now)
        await this.goOn(Infinity, limits)
      },
    }
    return replayGdbTarget<M>(recorded, this.debugger(), this.#parts.debugging.show, options)
  }

  /** The recording ends: a debugger has nothing more to do. The machine is the caller's. */
  close(): void {
    this.#isClosed = true
    this.#past?.close()
    this.#past = undefined
    this.#isLive = true
  }
}

/** Options of the past machine, which shows, plays and reports nothing. */
function unheard<O extends MachineOptions>(given: O): O {
  const { sound, speaker, jit, ...options } = given as O & Pick<PcOptions, 'speaker'>
  return {
    ...(options as unknown as O),
    screen: undefined,
    keyboard: undefined,
    mouse: undefined,
    onSleep: undefined,
    onDeviceFailure: undefined,
    onWarning: undefined,
    trace: undefined,
    sampling: undefined,
    jit: typeof jit === 'object' ? { ...jit, onCode: undefined } : jit,
    ...(sound !== undefined && { sound: sound.map((device) => ({ ...device, audio: undefined })) }),
    ...(speaker !== undefined && { speaker: SILENT }),
  }
}
