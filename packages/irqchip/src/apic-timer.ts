import {
  APIC_LVT_TIMER,
  APIC_TDCR,
  APIC_TMICT,
  LVT_TIMER_MODE,
  LVT_TIMER_PERIODIC,
  LVT_TIMER_TSC_DEADLINE,
} from './apic-registers.ts'
import type { ApicClock, ApicTimer } from './time.ts'

/** Word indices of the timer's own state, after the 64 register words. */
const TSC_DEADLINE_LO = 72
const TSC_DEADLINE_HI = 73
/** The one-shot count has run out. */
const DONE = 74
/** Index in doubles: when the count, or the period that runs, began. */
const START = 48

const LVT = APIC_LVT_TIMER >> 4
const INITIAL = APIC_TMICT >> 4
const DIVIDE = APIC_TDCR >> 4

/**
 * The timer of a local APIC: one-shot, periodic, TSC deadline.
 *
 * The count is not kept but computed from the time at which it was started; only the next expiry is a timer of the
 * machine. Source: Intel SDM vol. 3A, "APIC Timer", "TSC-Deadline Mode".
 */
export class ApicTimerUnit {
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #clock: ApicClock
  readonly #timer: ApicTimer
  readonly #ticksPerNs: number
  readonly #tscToNs: (lo: number, hi: number) => number
  readonly #fire: () => void

  /**
   * @param words - the local APIC's state
   * @param tscToNs - the time at which the vCPU's TSC reaches a value
   * @param fire - delivers the timer's LVT entry
   */
  constructor(
    words: Int32Array,
    doubles: Float64Array,
    clock: ApicClock,
    timerHz: number,
    tscToNs: (lo: number, hi: number) => number,
    fire: () => void,
  ) {
    this.#words = words
    this.#doubles = doubles
    this.#clock = clock
    this.#ticksPerNs = timerHz / 1e9
    this.#tscToNs = tscToNs
    this.#fire = fire
    this.#timer = clock.timer(() => this.#expired())
  }

  get #mode(): number {
    return this.#words[LVT]! & LVT_TIMER_MODE
  }

  /** Nanoseconds of one count. */
  get #nsPerCount(): number {
    const code = this.#words[DIVIDE]!
    const shift = (((code & 8) >> 1) | (code & 3)) + 1
    // Code 111 divides by 1; the others by 2 to 128.
    return (1 << (shift & 7)) / this.#ticksPerNs
  }

  /** Starts or stops the count: a write of the initial-count register. */
  start(initial: number): void {
    // In TSC-deadline mode the register is not there.
    if (this.#mode === LVT_TIMER_TSC_DEADLINE) return
    this.#words[INITIAL] = initial
    this.#words[DONE] = 0
    this.#doubles[START] = this.#clock.now()
    this.#schedule()
  }

  /** The current-count register. */
  count(): number {
    const initial = this.#words[INITIAL]! >>> 0
    if (initial === 0 || this.#words[DONE] !== 0 || this.#mode === LVT_TIMER_TSC_DEADLINE) return 0
    const passed = Math.floor((this.#clock.now() - this.#doubles[START]!) / this.#nsPerCount)
    if (passed < initial) return initial - passed
    return this.#mode === LVT_TIMER_PERIODIC ? initial - (passed % initial) : 0
  }

  /** The divide configuration has changed: what is left of the count goes on at the new rate. */
  divide(value: number): void {
    const left = this.count()
    this.#words[DIVIDE] = value
    const initial = this.#words[INITIAL]! >>> 0
    this.#doubles[START] = this.#clock.now() - (initial - left) * this.#nsPerCount
    this.#schedule()
  }

  /** The LVT entry has changed from `old`. */
  modeChanged(old: number): void {
    const before = old & LVT_TIMER_MODE
    const after = this.#mode
    if (before === after) return
    if (before === LVT_TIMER_TSC_DEADLINE || after === LVT_TIMER_TSC_DEADLINE) {
      // Going to or from TSC-deadline mode disarms the timer.
      this.stop()
    } else {
      // The period that runs is the last, or the first, of the new mode.
      this.#nextPeriod()
      this.#schedule()
    }
  }

  /** IA32_TSC_DEADLINE; 0 in the other modes. */
  get deadlineLo(): number {
    return this.#mode === LVT_TIMER_TSC_DEADLINE ? this.#words[TSC_DEADLINE_LO]! >>> 0 : 0
  }
  get deadlineHi(): number {
    return this.#mode === LVT_TIMER_TSC_DEADLINE ? this.#words[TSC_DEADLINE_HI]! >>> 0 : 0
  }

  /** A write of IA32_TSC_DEADLINE: arms, or disarms with 0; ignored in the other modes. */
  setDeadline(lo: number, hi: number): void {
    if (this.#mode !== LVT_TIMER_TSC_DEADLINE) return
    this.#words[TSC_DEADLINE_LO] = lo
    this.#words[TSC_DEADLINE_HI] = hi
    this.#schedule()
  }

  /** Forgets count and deadline. */
  stop(): void {
    this.#words[INITIAL] = 0
    this.#words[DONE] = 0
    this.#words[TSC_DEADLINE_LO] = 0
    this.#words[TSC_DEADLINE_HI] = 0
    this.#timer.cancel()
  }

  /** Arms the machine's timer from the registers; also after they were restored. */
  resume(): void {
    this.#schedule()
  }

  #schedule(): void {
    const words = this.#words
    if (this.#mode === LVT_TIMER_TSC_DEADLINE) {
      const lo = words[TSC_DEADLINE_LO]! >>> 0
      const hi = words[TSC_DEADLINE_HI]! >>> 0
      if (lo === 0 && hi === 0) this.#timer.cancel()
      else this.#timer.arm(this.#tscToNs(lo, hi))
      return
    }
    const initial = words[INITIAL]! >>> 0
    if (initial === 0) {
      this.#timer.cancel()
      return
    }
    if (words[DONE] !== 0) this.#timer.cancel()
    else this.#timer.arm(this.#doubles[START]! + initial * this.#nsPerCount)
  }

  /** Moves the start to that of the period that runs now. */
  #nextPeriod(): void {
    const period = (this.#words[INITIAL]! >>> 0) * this.#nsPerCount
    if (period === 0) return
    const start = this.#doubles[START]!
    this.#doubles[START] = start + Math.floor((this.#clock.now() - start) / period) * period
  }

  #expired(): void {
    if (this.#mode === LVT_TIMER_TSC_DEADLINE) {
      this.#words[TSC_DEADLINE_LO] = 0
      this.#words[TSC_DEADLINE_HI] = 0
    } else if (this.#mode === LVT_TIMER_PERIODIC) {
      // Expiries that the machine slept through are one: the IRR has one bit for them.
      this.#nextPeriod()
      this.#schedule()
    } else {
      this.#words[DONE] = 1
    }
    this.#fire()
  }
}
