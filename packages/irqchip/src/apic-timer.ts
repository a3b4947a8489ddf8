import {
  DEADLINE_HI,
  DEADLINE_LO,
  LVT_TIMER,
  TIMER_DIVIDE,
  TIMER_DONE,
  TIMER_INITIAL,
  TIMER_START,
} from './apic-layout.ts'
import { LVT_TIMER_MODE, LVT_TIMER_PERIODIC, LVT_TIMER_TSC_DEADLINE } from './apic-registers.ts'
import type { ApicClock, ApicTimer } from './time.ts'

/** Holds the saved state of a local APIC's timer; its LVT entry is saved with the others. */
export interface ApicTimerState {
  /** Initial-count register. */
  readonly initialCount: number
  /** Divide-configuration register. */
  readonly divide: number
  /** Time at which the count, or the period that runs, began; nanoseconds of the machine's clock. */
  readonly startNs: number
  /** The one-shot count has run out. */
  readonly done: boolean
  /** IA32_TSC_DEADLINE, low word. */
  readonly deadlineLo: number
  /** IA32_TSC_DEADLINE, high word. */
  readonly deadlineHi: number
}

/** What a timer needs from around it. */
export interface ApicTimerWorld {
  /** The machine's clock. */
  readonly clock: ApicClock
  /** Frequency that the divider divides. */
  readonly timerHz: number
  /** The time at which the vCPU's TSC reaches a value. */
  tscToNs(lo: number, hi: number): number
  /** Delivers the timer's LVT entry. */
  fire(): void
}

/**
 * The timer of a local APIC: one-shot, periodic, TSC deadline.
 *
 * The count is not kept but computed from the time at which it was started; only the next expiry is a timer of the
 * machine. The machine may be late with it. So each change of a register first handles an expiry that is due by then.
 *
 * Source: Intel SDM vol. 3A, "APIC Timer", "TSC-Deadline Mode".
 */
export class ApicTimerUnit {
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #world: ApicTimerWorld
  readonly #timer: ApicTimer
  readonly #ticksPerNs: number

  /**
   * @param words - the local APIC's state
   * @param doubles - the same, as doubles
   */
  constructor(words: Int32Array, doubles: Float64Array, world: ApicTimerWorld) {
    this.#words = words
    this.#doubles = doubles
    this.#world = world
    this.#ticksPerNs = world.timerHz / 1e9
    this.#timer = world.clock.timer(() => this.#expired())
  }

  #mode(): number {
    return this.#words[LVT_TIMER]! & LVT_TIMER_MODE
  }
  #initial(): number {
    return this.#words[TIMER_INITIAL]! >>> 0
  }
  #start(): number {
    return this.#doubles[TIMER_START]!
  }

  /** Nanoseconds of one count. */
  #nsPerCount(): number {
    const code = this.#words[TIMER_DIVIDE]!
    const shift = (((code & 8) >> 1) | (code & 3)) + 1
    // Code 111 divides by 1; the others by 2 to 128.
    return (1 << (shift & 7)) / this.#ticksPerNs
  }

  /** The time of the next expiry; infinite where nothing runs. */
  #due(): number {
    const words = this.#words
    if (this.#mode() === LVT_TIMER_TSC_DEADLINE) {
      const lo = words[DEADLINE_LO]! >>> 0
      const hi = words[DEADLINE_HI]! >>> 0
      return lo === 0 && hi === 0 ? Infinity : this.#world.tscToNs(lo, hi)
    }
    const initial = this.#initial()
    return initial === 0 || words[TIMER_DONE] !== 0 ? Infinity : this.#start() + initial * this.#nsPerCount()
  }

  /** Handles an expiry that is due: to be called before a register changes, the LVT entry too. */
  settle(): void {
    if (this.#due() <= this.#world.clock.now()) this.#expired()
  }

  /** Starts or stops the count: a write of the initial-count register. */
  start(initial: number): void {
    // In TSC-deadline mode the register does not exist.
    if (this.#mode() === LVT_TIMER_TSC_DEADLINE) return
    this.settle()
    this.#words[TIMER_INITIAL] = initial
    this.#words[TIMER_DONE] = 0
    this.#doubles[TIMER_START] = this.#world.clock.now()
    this.resume()
  }

  /** The current-count register. */
  count(): number {
    const initial = this.#initial()
    if (initial === 0 || this.#words[TIMER_DONE] !== 0 || this.#mode() === LVT_TIMER_TSC_DEADLINE) return 0
    const passed = Math.floor((this.#world.clock.now() - this.#start()) / this.#nsPerCount())
    if (passed < initial) return initial - passed
    return this.#mode() === LVT_TIMER_PERIODIC ? initial - (passed % initial) : 0
  }

  /** The divide configuration changes: the count that is left goes on at the new rate. */
  divide(value: number): void {
    this.settle()
    const left = this.count()
    this.#words[TIMER_DIVIDE] = value
    this.#doubles[TIMER_START] = this.#world.clock.now() - (this.#initial() - left) * this.#nsPerCount()
    this.resume()
  }

  /** The LVT entry has changed from `old`; `settle` was called before. */
  modeChanged(old: number): void {
    const before = old & LVT_TIMER_MODE
    const after = this.#mode()
    if (before === after) return
    // To or from TSC-deadline mode the timer is disarmed; else the period that runs is the last, or the first, of its mode.
    if (before === LVT_TIMER_TSC_DEADLINE || after === LVT_TIMER_TSC_DEADLINE) this.stop()
    else this.resume()
  }

  /** IA32_TSC_DEADLINE, low word; 0 in the other modes. */
  get deadlineLo(): number {
    return this.#mode() === LVT_TIMER_TSC_DEADLINE ? this.#words[DEADLINE_LO]! >>> 0 : 0
  }
  /** IA32_TSC_DEADLINE, high word; 0 in the other modes. */
  get deadlineHi(): number {
    return this.#mode() === LVT_TIMER_TSC_DEADLINE ? this.#words[DEADLINE_HI]! >>> 0 : 0
  }

  /** A write of IA32_TSC_DEADLINE: arms, or disarms with 0; ignored in the other modes. */
  setDeadline(lo: number, hi: number): void {
    if (this.#mode() !== LVT_TIMER_TSC_DEADLINE) return
    this.settle()
    this.#words[DEADLINE_LO] = lo
    this.#words[DEADLINE_HI] = hi
    this.tscChanged()
  }

  /** The TSC, its offset or the deadline has changed: a deadline that has passed fires now, not at the next look. */
  tscChanged(): void {
    if (this.#mode() === LVT_TIMER_TSC_DEADLINE) this.settle()
    this.resume()
  }

  /** Forgets count and deadline. */
  stop(): void {
    this.#words[TIMER_INITIAL] = 0
    this.#words[TIMER_DONE] = 0
    this.#words[DEADLINE_LO] = 0
    this.#words[DEADLINE_HI] = 0
    this.#timer.cancel()
  }

  /** Arms the machine's timer from the registers. */
  resume(): void {
    const due = this.#due()
    if (due === Infinity) this.#timer.cancel()
    else this.#timer.arm(due)
  }

  #expired(): void {
    if (this.#mode() === LVT_TIMER_TSC_DEADLINE) {
      this.#words[DEADLINE_LO] = 0
      this.#words[DEADLINE_HI] = 0
      this.#timer.cancel()
    } else if (this.#mode() === LVT_TIMER_PERIODIC) {
      // Expiries that the machine was late for are one: the IRR has one bit for them.
      const period = this.#initial() * this.#nsPerCount()
      const start = this.#start()
      this.#doubles[TIMER_START] = start + Math.floor((this.#world.clock.now() - start) / period) * period
      this.resume()
    } else {
      this.#words[TIMER_DONE] = 1
      this.#timer.cancel()
    }
    this.#world.fire()
  }

  /** Returns the state by name. */
  save(): ApicTimerState {
    const words = this.#words
    return {
      initialCount: this.#initial(),
      divide: words[TIMER_DIVIDE]!,
      startNs: this.#start(),
      done: words[TIMER_DONE] !== 0,
      deadlineLo: words[DEADLINE_LO]! >>> 0,
      deadlineHi: words[DEADLINE_HI]! >>> 0,
    }
  }

  /** Takes a saved state, after the LVT entries. */
  restore(state: ApicTimerState): void {
    const words = this.#words
    words[TIMER_INITIAL] = state.initialCount
    words[TIMER_DIVIDE] = state.divide
    words[TIMER_DONE] = state.done ? 1 : 0
    words[DEADLINE_LO] = state.deadlineLo
    words[DEADLINE_HI] = state.deadlineHi
    this.#doubles[TIMER_START] = state.startNs
    this.resume()
  }
}
