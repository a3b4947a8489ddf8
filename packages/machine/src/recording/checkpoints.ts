import { FIRST_LOGGED_GFN, isZero, LoggedMemory } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import type { CheckpointDraft, CheckpointStore, EventBody, Instant, RecordedEvent } from '@retrap/recording'
import { isAtRest } from '../snapshot/snapshot-rules.ts'
import type { InputGate } from './input-gate.ts'
import type { ImpairedDevice } from './impaired-devices.ts'
import type { GatedMachine } from '../machine/machine-gate.ts'
import type { MachineKind } from '../machine/board.ts'
import type { MachineState } from '../snapshot/snapshots.ts'

/** Host time between two checkpoints, if this much was executed. */
const INTERVAL_MS = 1000
const INSTRUCTIONS_A_MS = 2000
/** Instructions between two checkpoints, however little time they take, where the machine is at rest by then. */
const MOST_INSTRUCTIONS = 50_000_000
/** A checkpoint takes at most this part of the time. */
const MOST_SHARE = 1 / 20
/** Host time that devices have to come to rest. */
const DEADLINE_MS = 2000
/** Most consecutive failures of an attempt. */
const MOST_FAILURES = 3
/** Intervals between two attempts after these failures. */
const INTERVALS_AFTER_FAILURES = 60
/** The machine waits for its back ends just now: another attempt may succeed at once. */
const BUSY = new Error('the machine waits for its back ends')

/** The answer of a back end. */
export interface RecordedAnswer {
  /** 0, or the error's number. */
  readonly status: number
  /** Place in the recording of the bytes that the back end read. */
  readonly body: EventBody | undefined
  /** Further bytes of the answer, which the log has inline. */
  readonly data: Uint8Array
}

/** A position in a run's log. */
export interface LogPosition {
  /** Round. */
  readonly round: number
  /** The piece of the log that is read next. */
  readonly piece: number
  /** Inputs and checks that were read from the log, and that the run has not reached. */
  readonly ahead: readonly RecordedEvent[]
  /** Answers that were read from the log, and that no back end has asked for yet. */
  readonly answers: readonly (readonly [key: string, answers: readonly RecordedAnswer[]])[]
}

/** The content of a checkpoint of a recorded or replayed machine. */
export interface CheckpointState {
  /** The machine, without the contents of RAM. */
  readonly pc: MachineState
  /** The inputs that the parties outside hold for the machine, by number. */
  readonly parties: readonly unknown[]
  /** Instructions that each vCPU has retired. */
  readonly retired: readonly number[]
  /** Impaired devices, slow or dead; absent: no impaired devices. */
  readonly impaired?: readonly ImpairedDevice[]
  /** Bytes that each output of the console has sent; absent: an earlier release has not counted them. */
  readonly sent?: readonly number[]
}

/** The checkpoints of a run. */
export type Checkpoints = CheckpointStore<LogPosition>

/** A gate that knows its run's position in the log. */
export interface LoggedGate extends InputGate {
  /** The instant of the machine. */
  instant(): Instant
  /** The gate's position in the log; undefined during a read. */
  position(): LogPosition | undefined
}

/** Options of {@link CheckpointTaker}. */
export interface CheckpointTakerOptions {
  readonly machine: GatedMachine<MachineKind>
  readonly gate: LoggedGate
  readonly store: Checkpoints
  /** Host time between two checkpoints; `Infinity`: none is taken unless `take` is called. Default 1000. */
  readonly intervalMs?: number | undefined
  /** Whether to take a checkpoint before its time. */
  readonly isWanted?: (() => boolean) | undefined
  /** The write log of a machine that has not run, begun when its RAM was zero. Default: scan all of RAM. */
  readonly sinceZeros?: LoggedMemory | null | undefined
}

/**
 * Saves a machine at rest, and its position in the log.
 *
 * @param keep - stores the state and the RAM while the devices are at rest
 * @throws MachineError `ERR_SNAPSHOT`; whatever `keep` throws
 */
export async function saveInstant(
  machine: GatedMachine<MachineKind>,
  gate: LoggedGate,
  keep: (state: CheckpointState, position: LogPosition) => void,
): Promise<void> {
  const snapshots = await machine.snapshots()
  const rest = await snapshots.rest(DEADLINE_MS)
  let isSaved = false
  try {
    const pc = await snapshots.saveState(rest)
    const [parties, position] = [gate.saveParties(), gate.position()]
    if (parties === undefined || position === undefined) throw BUSY
    const retired = machine.domain.vcpus.map(({ cpu }) => cpu.retired)
    const impaired = gate.impaired?.save() ?? []
    const sent = [...gate.console.heard]
    keep({ pc, parties, retired, sent, ...(impaired.length > 0 && { impaired }) }, position)
    isSaved = true
  } finally {
    rest.end()
    if (isSaved) gate.partiesGoOn()
  }
}

/**
 * Takes checkpoints of a machine as it runs: at the start of a round of vCPUs, while devices are at rest, so that
 * checkpoints do not change the run. Only frames written since the last checkpoint are compared.
 */
export class CheckpointTaker {
  readonly #machine: GatedMachine<MachineKind>
  readonly #gate: LoggedGate
  readonly #store: Checkpoints
  readonly #intervalMs: number
  readonly #isWanted: () => boolean
  #written: LoggedMemory | null = null
  /** The write log of a machine that was just made, begun when its RAM was zero. */
  #sinceZeros: LoggedMemory | null
  #isTaking = false
  #failures = 0
  /** All pages of the current checkpoint were compared with the checkpoint before. */
  #isCompared = false
  /** Host time of the earliest next checkpoint. */
  #soonest = 0
  /** Host time of the next checkpoint, if this many instructions were executed by then. */
  #due = 0
  #least = 0
  /** Instruction at which the next checkpoint is due at the latest. */
  #most = 0

  constructor(options: CheckpointTakerOptions) {
    const { machine, gate, store, intervalMs = INTERVAL_MS, isWanted = () => false, sinceZeros = null } = options
    this.#intervalMs = intervalMs
    this.#isWanted = isWanted
    this.#sinceZeros = sinceZeros
    this.#machine = machine
    this.#gate = gate
    this.#store = store
    if (intervalMs === Infinity) return
    gate.look = () => this.#look()
    // The machine is at a checkpoint: frames written from now on differ from it.
    if (store.last === undefined) this.#wait(0)
    else this.#begin()
  }

  /** A checkpoint is being taken. */
  get isTaking(): boolean {
    return this.#isTaking
  }

  #begin(): void {
    this.#written = new LoggedMemory(this.#machine.domain)
    this.#wait(0)
  }

  /** @param tookMs - host time spent on the last checkpoint */
  #wait(tookMs: number): void {
    const now = performance.now()
    const { instructions } = this.#machine.domain
    const rest = Math.min(1, this.#intervalMs / INTERVAL_MS) * (tookMs / MOST_SHARE)
    this.#soonest =
      now + (this.#failures < MOST_FAILURES ? rest : Math.max(rest, INTERVALS_AFTER_FAILURES * this.#intervalMs))
    this.#due = now + this.#intervalMs
    this.#least = instructions + INSTRUCTIONS_A_MS * this.#intervalMs
    this.#most = instructions + MOST_INSTRUCTIONS
  }

  #look(): void {
    const now = performance.now()
    if (this.#isTaking) return
    const isWanted = this.#failures === 0 && this.#isWanted()
    if (!isWanted && now < this.#soonest) return
    const { instructions } = this.#machine.domain
    // A replay cannot return to power-on without a first checkpoint: a timer may have been due at the beginning.
    const isFirst = this.#store.last === undefined
    const isDue = isFirst || isWanted || instructions >= this.#most || (instructions >= this.#least && now >= this.#due)
    if (!isDue || instructions <= (this.#store.last?.instructions ?? -1)) return
    // Timers that are due fire before the machine pauses.
    if (!this.#machine.domain.devices.isAtRest()) return
    this.#isTaking = true
    void this.#machine.pause(() => this.take()).catch(() => undefined)
  }

  /**
   * Takes one now. Not while the machine runs, but for a pause.
   *
   * @param isFirst - whether the machine has not run yet: a due timer then fires when it does in a replay, too
   * @returns whether the checkpoint was possible: not if a part of the machine cannot be saved
   */
  async take(isFirst = false): Promise<boolean> {
    const begun = performance.now()
    // The first checkpoint looks at all of memory, and later ones do not: its duration says nothing of theirs.
    const looksAtAll = this.#written === null
    const instant = this.#gate.instant()
    const { domain } = this.#machine
    if (!(isFirst ? domain.devices.isAtRest() : isAtRest(domain))) {
      // The machine may be at rest at the next look.
      this.#isTaking = false
      return false
    }
    this.#isTaking = true
    try {
      if (instant.instructions <= (this.#store.last?.instructions ?? -1)) return false
      await this.#take(instant)
      this.#failures = 0
      return true
    } catch (error) {
      if (error === BUSY) return false
      // A device that cannot be saved, or is late; a guest that has too much memory. Frames that were taken from the log
      // are compared next time.
      this.#failures++
      this.close()
      return false
    } finally {
      this.#isTaking = false
      this.#wait(looksAtAll ? 0 : performance.now() - begun)
    }
  }

  async #take(instant: Instant): Promise<void> {
    this.#isCompared = false
    const memory = this.#store.draft()
    try {
      await saveInstant(this.#machine, this.#gate, (state, position) => {
        this.#addChanged(memory)
        this.#store.add(instant, state, memory, position, bytesOf(position), this.#isCompared)
      })
    } catch (error) {
      memory.discard()
      throw error
    }
  }

  /** Adds frames that may have been written since the last checkpoint. */
  #addChanged(memory: CheckpointDraft): void {
    const written = this.#written
    const { domain } = this.#machine
    if (written === null || written.haveMoved || this.#store.last === undefined) {
      this.#isCompared = true
      written?.close()
      const isZeros = this.#untouched()
      this.#written = new LoggedMemory(domain)
      const { frames } = this.#written
      for (const { gfn, count, kind } of frames)
        for (let at = gfn; at < gfn + count; at++)
          if (kind === 'rom' || at < FIRST_LOGGED_GFN || !isZeros(at)) this.#add(memory, at, true)
      // Frames that were taken from the guest have no contents.
      for (const gfn of this.#store.latestFrames())
        if (!frames.some((one) => gfn >= one.gfn && gfn < one.gfn + one.count))
          memory.add(gfn, domain.memory.u8, -1, true)
      return
    }
    for (const { gfn, count, kind } of written.frames) {
      const end = kind === 'rom' ? gfn + count : Math.min(gfn + count, FIRST_LOGGED_GFN)
      for (let at = gfn; at < end; at++) this.#add(memory, at, true)
    }
    for (const gfn of written.take()) if (gfn >= FIRST_LOGGED_GFN) this.#add(memory, gfn, false)
  }

  /** Tells which RAM frames are unwritten since the machine was made. Only the first call knows: it ends the log. */
  #untouched(): (gfn: number) => boolean {
    const log = this.#sinceZeros
    this.#sinceZeros = null
    if (log === null) return () => false
    const written = new Set(log.take())
    log.close()
    const ram = log.frames.filter(({ kind }) => kind === 'ram')
    return (at) => !written.has(at) && ram.some(({ gfn, count }) => at >= gfn && at < gfn + count)
  }

  /** Adds a frame. @param isCompared - leaves the frame out if the previous checkpoint has the same contents */
  #add(memory: CheckpointDraft, gfn: number, isCompared: boolean): void {
    const { p2m, memory: machine } = this.#machine.domain
    const ma = p2m.translate(gfn * PAGE_BYTES)
    const isZeros = ma < 0 || isZero(machine.u32, ma >>> 2)
    if (isZeros && isCompared && this.#store.wasZeros(gfn)) return
    memory.add(gfn, machine.u8, isZeros ? -1 : ma, isCompared)
  }

  /** Ends the logs: the machine is used no more, or the next checkpoint compares all of memory. */
  close(): void {
    this.#sinceZeros?.close()
    this.#sinceZeros = null
    this.#written?.close()
    this.#written = null
  }
}

/** Memory of an answer, about. */
const ANSWER_BYTES = 64
const NUMBER_BYTES = 8

function bytesOf({ ahead, answers }: LogPosition): number {
  let bytes = 0
  for (const { data } of ahead) bytes += data.length
  for (const [, list] of answers)
    for (const { body, data } of list) bytes += ANSWER_BYTES + data.length + NUMBER_BYTES * (body?.runs.length ?? 0)
  return bytes
}
