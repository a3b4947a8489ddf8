import { CheckpointStore, type Instant, openRecording, type Recording, RecordingError } from '@retrap/recording'
import type { GdbTarget } from '@retrap/gdb'
import type { PhysicalRange } from '@retrap/hvm'
import type { MachineGdbOptions } from '../debugger/machine-gdb-target.ts'
import { MachineError } from '../errors.ts'
import { type MachineRunOptions, OneByOne, type ResetImages } from '../lifecycle/machine-life.ts'
import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import type { GatedMachine } from '../machine/machine-gate.ts'
import type { Pc } from '../pc/pc.ts'
import type { PcKind } from '../pc/pc-board.ts'
import { differenceOf } from '../snapshot/snapshot-rules.ts'
import { poweredOn, type RecordedKind, type RunDescription, withRecordedFlash } from './description.ts'
import { type Checkpoints, CheckpointTaker } from './checkpoints.ts'
import { requireSupported } from '../refusals/refusals.ts'
import { traitsOf } from '../refusals/traits.ts'
import { BackEndGate } from './back-end-gate.ts'
import type { ReplayDebugger } from './replay-debugger.ts'
import { droppedBefore, NEVER, type ReplayExit } from './replay-hits.ts'
import { type RecordingSource, type ReplayOptions, RunReplay } from './run-replay.ts'
import { type GuestTime, instantOf, type ReplayPlace, type TimedReplay } from './guest-time.ts'
import { NearPoints } from './near-points.ts'
import { ReplayGate } from './replay-gate.ts'
import { type Goal, ReplayWay } from './replay-way.ts'
import { PastMachine, type Rebuilt } from './past-machine.ts'
import type { TravellingMachine, TravelOptions } from './travelling-machine.ts'
import type { LastWriter } from './who-wrote.ts'
import { RunHistoryKeeper, type SavedHistory } from './run-history.ts'
import { readCheckpoint, type StartingPoint, storedCheckpoint } from './saved-checkpoints.ts'

/** Most bytes of checkpoints in memory: as much is left for the file's checkpoints, and for restoring. */
const MOST_STORED_BYTES = 128 * 2 ** 20
/** Number of instructions that execute faster than the machine can be restored to a checkpoint. */
const WORTH_INSTRUCTIONS = 20_000_000
/** On a longer way, a checkpoint is kept when this many instructions are left. */
const LONG_WAY = 500_000
const LAST_PART = 1 / 20

/** Host time in which a history is noted that a recording lacks, if checkpoints lead to its end. */
const HISTORY_MS = 60_000

const wasClosed = (): MachineError => new MachineError('ERR_STATE', 'the replay was closed')

/**
 * A replay of a recorded run. It needs neither images nor networks: the options name the same devices, and the
 * recording holds the facts of their back ends.
 */
export class MachineReplay<K extends MachineKind, M extends Machine<K>> extends RunReplay<M> {
  readonly #kind: RecordedKind<K, M>
  readonly #recording: Recording
  readonly #options: K['options']
  readonly #onMachine: (machine: M) => void
  readonly #store: Checkpoints
  /** Whether the store belongs to a machine that is still being recorded. */
  readonly #isLive: boolean
  readonly #checkpointMs: number | undefined
  /** Queue of searches: one at a time, as the replay has one machine. */
  readonly #searches = new OneByOne()
  readonly #past: PastMachine<K, M>
  readonly #near = new NearPoints()
  /** Takes checkpoints of the machine. */
  #taker: CheckpointTaker | undefined
  #takerOf: GatedMachine<K> | undefined
  #look: (() => void) | null = null
  readonly #way: ReplayWay
  #isClosed = false

  private constructor(
    kind: RecordedKind<K, M>,
    recording: Recording,
    options: K['options'],
    given: ReplayOptions<M>,
    recorded?: Checkpoints,
  ) {
    super(recording, recorded?.instants[0])
    this.#store = recorded ?? new CheckpointStore(MOST_STORED_BYTES)
    this.#isLive = recorded !== undefined
    this.#way = new ReplayWay(recording.end, this.#isLive)
    this.#kind = kind
    this.#recording = recording
    this.#options = options
    this.#onMachine = given.onMachine ?? (() => undefined)
    this.#checkpointMs = given.checkpointMs
    // The taker's log must be closed before other machines reuse the memory.
    const leave = (): void => this.#taker?.close()
    this.#past = new PastMachine((from) => this.#build(from), leave)
  }

  /** @internal Use {@link replayPc}. A method, since a static block would keep this class in pages that never replay. */
  static async open<K extends MachineKind, M extends Machine<K>>(
    kind: RecordedKind<K, M>,
    source: RecordingSource,
    from: K['options'],
    given: ReplayOptions<M>,
  ): Promise<MachineReplay<K, M>> {
    const recording = await openRecording(source)
    const description = recording.description as Partial<RunDescription> | null
    if (description?.version !== 1)
      throw new MachineError('ERR_OPTION', `the recording is of version ${String(description?.version)}: expected 1`)
    const options = poweredOn<K>(from, description.machine)
    if (recording.firstPiece > 0 && recording.checkpoints.length === 0)
      throw new RecordingError('ERR_DAMAGED', 'the recording lacks its beginning, and has no checkpoint')
    requireSupported('replay', traitsOf({ ...options, machine: kind.board(options) }, 'replayed'))
    // Media are not needed in a replay.
    const { media: _media, ...here }: { readonly media?: unknown } = kind.describe(options)
    const difference = differenceOf(description.machine!, here)
    if (difference !== undefined)
      throw new MachineError('ERR_OPTION', `the recording is of another machine: ${difference}`)
    const replay = new MachineReplay(kind, recording, withRecordedFlash<K>(options, description.backEnds), given)
    const at = given.at === 'end' ? replay.end : (given.at ?? replay.begin)
    replay.#checkPlace(at)
    await replay.#makeBefore(at)
    if (at > replay.begin) await replay.#goOn(replay.#way.goalOf(at), {})
    return replay
  }

  /**
   * @internal The past of a machine that is recorded just now, and stands still. The machine is at the last checkpoint that is
   * not after an instruction.
   */
  static async ofLive<K extends MachineKind, M extends Machine<K>>(
    kind: RecordedKind<K, M>,
    recording: Recording,
    options: K['options'],
    recorded: Checkpoints,
    instruction: number,
  ): Promise<MachineReplay<K, M>> {
    const { backEnds } = recording.description as RunDescription
    const given = { checkpointMs: Infinity }
    const replay = new MachineReplay(kind, recording, withRecordedFlash<K>(options, backEnds), given, recorded)
    await replay.#makeNear(instruction)
    return replay
  }

  /** Brings the machine to the last checkpoint that is not after an instruction, or to power-on. */
  async #makeNear(instruction: number): Promise<void> {
    const [inMemory, inFile] = [
      this.#store.nearest(instruction),
      this.#recording.checkpoints.findLastIndex(({ instructions }) => instructions <= instruction),
    ]
    const memoryAt = this.#store.instants[inMemory]?.instructions ?? -1
    const fileAt = this.#recording.checkpoints[inFile]?.instructions ?? -1
    const near = this.#near.nearest(instruction, Math.max(memoryAt, fileAt))
    if (near !== undefined)
      try {
        return await this.#make(near)
      } catch (error) {
        // The checkpoint that the near points are based on was dropped.
        this.#near.clear()
        if (this.#isClosed) throw error
      }
    if (memoryAt >= fileAt && memoryAt >= 0) return this.#make(storedCheckpoint(this.#store, inMemory))
    if (fileAt < 0) {
      // The snapshot's pages are read by the machine that is recorded.
      if (this.#recording.firstPiece > 0 || (this.#isLive && this.#options.snapshot !== undefined))
        throw new MachineError('ERR_STATE', `there is no checkpoint at or before instruction ${instruction}`)
      if (!this.#isLive) this.#store.clear()
      await this.#make()
      await this.#taker!.take()
      return
    }
    const from = await readCheckpoint(this.#recording, inFile, this.#options.memoryBytes)
    // The machine begins at a checkpoint of the file: the store gets only checkpoints from there on.
    this.#store.clear()
    await this.#make(from)
  }

  async #make(from?: StartingPoint): Promise<void> {
    const { gate, gated: machine } = await this.#at(from)
    this.#near.begin(from)
    this.#way.leave()
    const { last } = this.#store
    if (machine !== this.#takerOf || last === undefined) {
      // A taker logs writes from here on, so it must start at the last checkpoint.
      if (last !== undefined && from !== undefined && from.instructions > last.instructions && !this.#isLive)
        this.#store.clear()
      this.#taker?.close()
      this.#takerOf = machine
      this.#taker = new CheckpointTaker({ machine, gate, store: this.#store, intervalMs: this.#checkpointMs })
      this.#look = gate.look
    }
    gate.look = this.#look
  }

  /** Brings the machine to a checkpoint, without taking further checkpoints on the way. */
  async #at(from?: StartingPoint): Promise<Rebuilt<K, M>> {
    if (this.#isClosed) throw wasClosed()
    const former = this.#past.current?.machine
    const rebuilt = await this.#past.at(from)
    if (this.#isClosed) throw wasClosed()
    rebuilt.gate.look = null
    if (rebuilt.machine !== former) this.#onMachine(rebuilt.machine)
    return rebuilt
  }

  /** @throws MachineError `ERR_STATE` if the replay was closed, meanwhile too */
  async #build(from?: StartingPoint): Promise<Rebuilt<K, M>> {
    if (this.#isClosed) throw wasClosed()
    const { backEnds, goesOverResets } = this.#recording.description as RunDescription
    const { kernel, initrd, modules }: ResetImages = this.#options
    const onReset = goesOverResets === true ? (): ResetImages => ({ kernel, initrd, modules }) : undefined
    const [kind, given] = [this.#kind, { ...this.#options, onReset }]
    const gate: ReplayGate = new ReplayGate(this.#recording, () => kind.notes(machine.domain), from?.position)
    if (from !== undefined) gate.willRestore(from.parties, from.impaired)
    const inputs = new BackEndGate<K>(gate, backEnds, given)
    // A checkpoint has the machine's identifier.
    const generation = given.generation && { ...given.generation, after: 'same' as const }
    const options =
      from === undefined ? given : { ...given, generation, snapshot: { state: from.pc, pages: from.pages } }
    const machine: M = await kind.make(options, inputs)
    if (this.#isClosed) {
      machine.close()
      throw wasClosed()
    }
    try {
      if (from !== undefined) gate.restored(from)
    } catch (error) {
      machine.close()
      throw new RecordingError('ERR_DAMAGED', 'the recording has a checkpoint of another form', { cause: error })
    }
    return { machine, gate, gated: inputs.machine }
  }

  /** See {@link RunReplay.machine}. */
  get machine(): M {
    return this.#past.current!.machine
  }

  /** See {@link RunReplay.run}. */
  run(options: MachineRunOptions = {}): Promise<ReplayExit> {
    return this.#goOn(this.#way.goalOf(this.end), options)
  }

  /** See {@link RunReplay.goto}. */
  async goto(place: ReplayPlace, options: TravelOptions = {}): Promise<ReplayExit> {
    const way = { heardFrom: this.#past.current!.gate.instant(), ...options }
    if (typeof place !== 'number') return 'ns' in place ? this.#gotoTime(place, way) : this.#gotoInstant(place, way)
    this.#checkPlace(place)
    const { instructions } = this
    const isAhead = instructions < place || this.#way.isFirstAt(place) || (instructions === place && place === this.end)
    if (!isAhead || this.#hasBetween(instructions, place)) await this.#makeBefore(place)
    return this.#goTo(this.#way.goalOf(place), way)
  }

  #gotoInstant(place: Instant, options: TravelOptions): Promise<ReplayExit> {
    const { instructions } = this
    const isAhead = instructions <= place.instructions && this.#past.current!.gate.round < place.round
    if (!isAhead || this.#hasBetween(instructions, place.instructions)) return this.#makeAt(place, options)
    return this.#goTo({ ...place, ns: 0 }, options)
  }

  /**
   * Brings the machine to a checkpoint from which it goes on to an instruction. A checkpoint with as many instructions may be of a later
   * instant: in a wait, or between iterations of a string instruction.
   */
  #makeBefore(instruction: number): Promise<void> {
    const isBound = instruction === this.begin || instruction === this.end
    return this.#makeNear(isBound ? instruction : instruction - 1)
  }

  async #gotoTime(time: GuestTime, options: TravelOptions): Promise<ReplayExit> {
    const replay: TimedReplay = {
      begin: this.begin,
      now: () => this.ns,
      makeNear: (instruction) => this.#makeNear(instruction).then(() => this.#past.current!.gate),
      run: () => this.#goOn(this.#way.goalOf(this.end), { ...options, heardFrom: NEVER }),
    }
    const { at, exit } = await instantOf(replay, time, [...this.#store.instants, ...this.#recording.checkpoints])
    if (exit.reason === 'diverged' || exit.reason === 'timeout' || options.signal?.aborted === true) return exit
    const there = await (at === null ? this.goto(this.begin, options) : this.#makeAt(at, options))
    // The recording ends before that time.
    return there.reason === 'arrived' && exit.reason === 'end-of-recording' ? exit : there
  }

  /** Goes on to an instant. Places shortly before it are kept, if it is a long way. */
  async #goTo(goal: Goal, options: TravelOptions): Promise<ReplayExit> {
    for (;;) {
      const left = goal.instructions - this.instructions
      if (left <= LONG_WAY) return this.#goOn(goal, options)
      const nearer = this.#way.goalOf(goal.instructions - Math.floor(left * LAST_PART))
      const exit = await this.#goOn(nearer, options)
      if (exit.reason !== 'arrived') return exit
      await this.#near.take(this.#past.current!)
    }
  }

  #checkPlace(instruction: number): void {
    if (!Number.isSafeInteger(instruction) || instruction < 0 || instruction > this.end)
      throw new MachineError('ERR_OPTION', `instruction ${instruction}: expected ${this.begin} to ${this.end}`)
    if (instruction < this.begin) throw droppedBefore(this.begin, instruction)
  }

  /** Whether a checkpoint on the way makes a restore worthwhile. */
  #hasBetween(from: number, to: number): boolean {
    const least = from + WORTH_INSTRUCTIONS
    const isThere = ({ instructions }: Instant): boolean => instructions > least && instructions <= to
    const stores = [this.#store.instants, this.#recording.checkpoints]
    return stores.some((instants) => instants.some(isThere))
  }

  #goOn(goal: Goal, options: TravelOptions): Promise<ReplayExit> {
    return this.#way.goOn(this.#past.current!, goal, options)
  }

  /** See {@link RunReplay.history}. */
  async history(saved?: SavedHistory): Promise<RunHistoryKeeper> {
    const history = new RunHistoryKeeper()
    history.restore(saved ?? (await this.#noted()), this.marks)
    if (this.instructions < this.end) await this.goto(this.end)
    return history
  }

  /** Repeats the run from beginning to end, and notes its history. */
  async #noted(): Promise<SavedHistory> {
    // A guest that waits at the end would wait on.
    if (this.instructions > this.begin) await this.goto(this.begin)
    const noted = new RunHistoryKeeper()
    const follow = (): void => noted.follow(this.machine, this.#past.current!.gate)
    follow()
    await this.run(this.#recording.checkpoints.length === 0 ? {} : { timeoutMs: HISTORY_MS })
    noted.leave()
    if (this.instructions < this.end) {
      await this.goto(this.end)
      follow()
      noted.leave()
    }
    return noted.save(this.begin)
  }

  async gdbTarget(options: MachineGdbOptions): Promise<GdbTarget> {
    const [{ replayGdbTarget }, debug] = await Promise.all([import('./replay-gdb-target.ts'), this.debugger()])
    return replayGdbTarget<M>(this, debug, (await this.#kind.debugging()).show, options)
  }

  async #whoWrote(ranges: readonly PhysicalRange[], options: MachineRunOptions): Promise<LastWriter> {
    const { findWriter } = await import('./who-wrote.ts')
    const now = this.#past.current!.gate.instant()
    // The instant at which the search ends is kept for the next step.
    await this.#near.take(this.#past.current!)
    let isElsewhere = false
    const past = {
      pc: this.machine,
      now,
      recording: this.#recording,
      store: this.#store,
      memoryBytes: this.#options.memoryBytes,
      at: (from?: StartingPoint): Promise<Rebuilt<K, M>> => {
        isElsewhere = true
        return this.#at(from)
      },
      discard: () => this.#past.close(),
    }
    try {
      return await findWriter(past, ranges, options)
    } finally {
      if (isElsewhere) await this.#makeAt(now, { heardFrom: now })
    }
  }

  /** Brings the machine to an instant. */
  async #makeAt({ instructions, round }: Instant, options: TravelOptions): Promise<ReplayExit> {
    this.#checkPlace(instructions)
    await this.#makeNear(instructions)
    // A checkpoint may be of this round or a later one: the machine is past the goal then, and must not run.
    if (this.#past.current!.gate.round > round && instructions > 0) await this.#makeNear(instructions - 1)
    const { gate } = this.#past.current!
    if (gate.round === round && this.instructions === instructions) return { reason: 'arrived' }
    return this.#goTo({ instructions, round, ns: 0 }, options)
  }

  async debugger(): Promise<ReplayDebugger<M>> {
    const [{ attachReplayDebugger }, seen] = await Promise.all([import('./replay-debugger.ts'), this.#kind.debugging()])
    return attachReplayDebugger(this.travelling(), seen)
  }

  /** @internal Goes to an instant: `goto` goes to the first one with this many instructions. */
  toInstant(instant: Instant, options: MachineRunOptions): Promise<ReplayExit> {
    return this.#makeAt(instant, options)
  }

  /** @internal The run's interface for its debugger. */
  travelling(): TravellingMachine<M> {
    const replay = (): this => this
    return {
      get pc() {
        return replay().machine
      },
      get instructions() {
        return replay().instructions
      },
      begin: this.begin,
      end: this.end,
      goto: (instruction, options) => this.goto(instruction, options),
      keep: () => this.#near.take(this.#past.current!),
      makeNear: (instruction) => this.#makeNear(instruction),
      goOn: (instruction, options) => this.#goOn(this.#way.goalOf(instruction), options),
      whoWrote: (ranges, options) => this.#searches.do(() => this.#whoWrote(ranges, options)),
    }
  }

  /** See {@link RunReplay.close}. */
  close(): void {
    this.#isClosed = true
    this.#past.close()
  }
}

/** A recorded run of a PC that is run again. */
export type PcReplay = MachineReplay<PcKind, Pc>
