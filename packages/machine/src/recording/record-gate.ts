import { concatenate } from '@retrap/basics'
import { Instant, type Word64 } from '@retrap/device'
import type { Domain, VirtualCpu } from '@retrap/hvm'
import type { Instant as RunInstant, RecordingEnd, RecordingWriter } from '@retrap/recording'
import type { LoggedGate, LogPosition } from './checkpoints.ts'
import { HostPacing } from '../lifecycle/host-pacing.ts'
import { type GatedDomain, type Input, InputGate, presentNs, TIMER_PARTY } from './input-gate.ts'

/** Instructions between two notes of the processors' registers. */
const CHECK_INSTRUCTIONS = 5_000_000
/** This many bytes may wait to be written before the machine waits for them. */
const MOST_WAITING_BYTES = 32 * 2 ** 20
/** Records are written at this interval at most, so that a cut loses no more. */
const FLUSH_MS = 1000
/** Rounds between two looks at the host's clock. */
const LOOK_ROUNDS = 64
/**
 * In place of a party's number: the time at which an input enters that has ended a wait, as a little-endian 64-bit count of ns. With
 * a further word 1 processors lose their translations then.
 */
export const TIME_PARTY = 0xffff

/** The part of a run's description that the counting of rounds depends on. */
export interface PacedRun {
  /** The guest's time was kept to the host's while it waited; absent: it was not. */
  readonly paced?: boolean
  /** Inputs entered by timers from outside; absent: between two rounds. */
  readonly timed?: boolean
  /** Whether the machine starts again in place after a reset. Absent: an earlier release, where a reset has ended the run. */
  readonly goesOverResets?: boolean
}

/** Records inputs as they enter the machine, and responses as they arrive. */
export class RecordGate extends InputGate implements LoggedGate {
  readonly hasOutside = true
  /** Whether the log before a checkpoint may be dropped: later entries do not refer to it. */
  isInRing = false
  hasEnded = false
  readonly #writer: RecordingWriter
  readonly #keepsPace: boolean
  readonly #notes: () => Uint8Array
  #queue: { readonly party: number; readonly data: Input }[] = []
  #nextCheck = 0
  #looks = 0
  #flushed = performance.now()
  #pacing: HostPacing | undefined
  /** A timer from outside has fired: inputs enter at once. */
  #isEntering = false

  /**
   * @param keepsPace - the guest's time does not run ahead of the host's: for a guest that a person types to
   * @param notes - returns the processors' registers, which are noted now and then
   */
  constructor(writer: RecordingWriter, keepsPace: boolean, notes: () => Uint8Array) {
    super()
    this.#writer = writer
    this.#keepsPace = keepsPace
    this.#notes = notes
  }

  override start(domain: GatedDomain): void {
    super.start(domain)
    if (this.isTimed) this.early = () => 0
    if (!this.#keepsPace) return
    const pacing = (this.#pacing = new HostPacing(domain))
    this.early = (deadline) => pacing.early(deadline)
  }

  /** Makes a timer from outside: see `RunRecorder.timer`. */
  timer(callback: () => void): { armAfter(ns: number): void } {
    return this.domain.timers.create(() => {
      const now = new Float64Array([this.domain.clock.now()])
      this.#writer.add('input', this.instant(), TIMER_PARTY, new Uint8Array(now.buffer))
      this.#isEntering = true
      try {
        callback()
      } finally {
        this.#isEntering = false
      }
    })
  }

  /** See `RunRecorder.skip`. */
  skip(ns: number): void {
    const time = new Instant()
    this.domain.clock.read(time)
    this.#skipTo(time.add(ns), true)
  }

  #skipTo(time: Readonly<Word64>, forgets: boolean): void {
    const { lo, hi } = time
    const words = forgets ? Uint32Array.of(lo, hi, 1) : Uint32Array.of(lo, hi)
    this.#writer.add('input', this.instant(), TIME_PARTY, new Uint8Array(words.buffer))
    this.domain.clock.skipTo(time)
    if (forgets) for (const vcpu of this.domain.vcpus) vcpu.mapChanged()
  }

  override offer(party: number, data: Uint8Array, take: () => boolean): boolean {
    if (!this.#isEntering) return super.offer(party, data, take)
    const isTaken = take()
    if (isTaken) this.#writer.add('input', this.instant(), party, data)
    return isTaken
  }

  post(party: number, data: Input): void {
    if (this.#isEntering) {
      const bytes = typeof data === 'function' ? data() : data
      if (bytes === null) return
      this.#writer.add('input', this.instant(), party, bytes)
      this.receiver(party)?.(bytes)
      return
    }
    this.#queue.push({ party, data })
    this.domain.wake()
  }

  async ask(party: number, key: string, into: Uint8Array | undefined, ask: () => Promise<number>): Promise<number> {
    this.asking++
    try {
      const status = await ask()
      const data = new Uint8Array(2 + key.length)
      data[0] = key.length
      for (let i = 0; i < key.length; i++) data[1 + i] = key.charCodeAt(i)
      data[1 + key.length] = status
      this.#writer.add('answer', this.instant(), party, data, status === 0 ? into : undefined)
      return status
    } finally {
      // Only when the response is in the log: a checkpoint in between would miss it, and no request would repeat it.
      this.asking--
    }
  }

  /** Records actions of a party's models while the machine stands still: a replay takes them at the same instant. */
  note(party: number, data: Uint8Array): void {
    this.#writer.add('answer', this.instant(), party, concatenate([[0, 0], data]))
  }

  noted(): Promise<void> {
    throw new TypeError('a recording that is being made has nothing to take')
  }

  /** Whether a processor can execute instructions. */
  get executes(): boolean {
    return this.domain.vcpus.some(({ dormant }) => !dormant)
  }

  instant(): RunInstant {
    return { round: this.round, instructions: this.domain.instructions }
  }

  /** Returns the log's position, at the beginning of a piece for later events. */
  position(): LogPosition {
    const piece = this.isInRing ? this.#writer.segment() : (this.#writer.flush(), this.#writer.pieces)
    return { round: this.round, piece, ahead: [], answers: [] }
  }

  protected atRound(): Promise<unknown> | null {
    const { instructions } = this.domain
    if (instructions >= this.#nextCheck) {
      this.#nextCheck = instructions + CHECK_INSTRUCTIONS
      this.#writer.add('check', this.instant(), 0, this.#notes())
    }
    if (this.#queue.length > 0 && this.#deliver()) return this.delivered()
    if (++this.#looks % LOOK_ROUNDS === 0 && performance.now() - this.#flushed > FLUSH_MS) {
      this.#flushed = performance.now()
      this.#writer.flush()
    }
    return this.#writer.waitingBytes > MOST_WAITING_BYTES ? this.#writer.settled() : null
  }

  idle(): Promise<unknown> | null {
    // The input may have come while the machine was paused.
    if (this.#queue.length > 0) return Promise.resolve()
    // Nothing may follow for long.
    this.#writer.flush()
    return null
  }

  /** @returns whether there was an input */
  #deliver(): boolean {
    const queue = this.#queue
    this.#queue = []
    const at = this.instant()
    let isAny = false
    for (const { party, data } of queue) {
      const bytes = typeof data === 'function' ? data() : data
      if (bytes === null) continue
      isAny = true
      const time = this.#pacing?.present()
      if (time !== undefined) this.#skipTo(time, false)
      this.#writer.add('input', at, party, bytes)
      this.receiver(party)?.(bytes)
    }
    return isAny
  }
}

/** The registers of all processors, as bytes; null for one that is in the middle of an instruction. */
export function noteAll<Cpu extends Pick<VirtualCpu, 'cpu'>>(
  vcpus: readonly Cpu[],
  registersOf: (vcpu: Cpu) => object,
): Uint8Array {
  const notes = vcpus.map((vcpu) => (vcpu.cpu.busy ? null : { retired: vcpu.cpu.retired, ...registersOf(vcpu) }))
  return new TextEncoder().encode(JSON.stringify(notes))
}

/** The registers of all processors, as they are noted. */
export type Notes = readonly (Readonly<Record<string, unknown>> | null)[]

/** Names the first register that differs. */
export function differenceOf(recorded: Notes, here: Notes): string | undefined {
  for (const [vcpu, registers] of recorded.entries()) {
    const now = here[vcpu] ?? null
    if (registers === null || now === null) continue
    const name = Object.keys(registers).find((one) => registers[one] !== now[one])
    if (name !== undefined) return `${name} of vCPU ${vcpu} was ${String(registers[name])}, and is ${String(now[name])}`
  }
  return undefined
}

/** Returns the end of a recording whose machine stands still. */
export function endOf(gate: Pick<RecordGate, 'instant'>, domain: Pick<Domain, 'clock' | 'spent'>): RecordingEnd {
  const ns = presentNs(domain)
  return { ...gate.instant(), ...(Number.isSafeInteger(ns) && { ns }) }
}
