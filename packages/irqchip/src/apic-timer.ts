import { fieldsPart, Instant, type StatePart, viewed, type Word64 } from '@retrap/device'
import * as apicRegisters from './apic-registers.ts'
import type { LocalApicOptions } from './local-apic-options.ts'
import { bitOf, namedWords } from './saved-words.ts'
import { type ApicClock, type ApicTimer, Ratio } from './time.ts'

/** Words saved unchanged. */
const SAVED = {
  initialCount: apicRegisters.W.TMICT,
  divide: apicRegisters.W.TDCR,
  deadlineLo: apicRegisters.W.DEADLINE_LO,
  deadlineHi: apicRegisters.W.DEADLINE_HI,
}

/**
 * The timer of a local APIC: one-shot, periodic, TSC deadline.
 *
 * The count is not kept but computed from the time at which it was started; only the next expiry is a timer of the
 * machine. The machine may be late with it. So each change of a register first handles an expiry that is due by then.
 *
 * Times are exact: a period whose length is no whole number of nanoseconds begins with the rest of the one before.
 *
 * Source: Intel SDM vol. 3A, "APIC Timer", "TSC-Deadline Mode".
 */
export class ApicTimerUnit {
  /** The part that saves the timer, without its LVT entry. */
  readonly state: StatePart
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #clock: ApicClock
  readonly #tscToNs: NonNullable<LocalApicOptions['tscToNs']>
  readonly #fire: () => void
  readonly #timer: ApicTimer
  /** Nanoseconds of a tick, before the divider. */
  readonly #tickNs: Ratio
  /** Ticks of a nanosecond. */
  readonly #ticks: Ratio
  readonly #now = new Instant()
  /** The result of `#due`, and the start that is computed with. */
  readonly #at = new Instant()

  /**
   * @param words - the local APIC's state
   * @param fire - delivers the timer's LVT entry
   */
  constructor(words: Int32Array, options: LocalApicOptions, fire: () => void) {
    const { clock, timerHz = 1e9 } = options
    this.#words = words
    const doubles = new Float64Array(words.buffer, words.byteOffset, words.length / 2)
    this.#doubles = doubles
    this.state = fieldsPart(
      {
        registers: namedWords(words, SAVED),
        // Time at which the count, or the period that runs, began, and its rest in parts of the tick length's denominator.
        start: viewed(
          () => this.#start(this.#at).save(),
          (start) => this.#setStart(start, 0),
        ),
        startRest: viewed(
          () => doubles[apicRegisters.TIMER_START_REST]!,
          (rest) => (doubles[apicRegisters.TIMER_START_REST] = rest),
        ),
        done: bitOf(words, apicRegisters.W.TIMER_DONE, 1),
      },
      { flat: ['registers'], settled: () => this.resume() },
    )
    this.#clock = clock
    this.#tscToNs = options.tscToNs?.bind(options) ?? tscSinceZero(options.tscHz ?? 1e9)
    this.#fire = fire
    this.#tickNs = new Ratio(1e9, timerHz)
    this.#ticks = new Ratio(timerHz, 1e9)
    this.#timer = clock.timer(() => this.#expired())
  }

  #mode(): number {
    return this.#words[apicRegisters.W.LVT_TIMER]! & apicRegisters.LVT_TIMER_MODE
  }
  #initial(): number {
    return this.#words[apicRegisters.W.TMICT]! >>> 0
  }

  /** Ticks of one count: a power of two. */
  #divider(): number {
    const code = this.#words[apicRegisters.W.TDCR]!
    const shift = (((code & 8) >> 1) | (code & 3)) + 1
    // Code 111 divides by 1; the others by 2 to 128.
    return 1 << (shift & 7)
  }

  /** The time at which the count began. */
  #start(into: Instant): Instant {
    into.lo = this.#doubles[apicRegisters.TIMER_START_LO]!
    into.hi = this.#doubles[apicRegisters.TIMER_START_HI]!
    return into
  }

  #setStart(at: Readonly<Word64>, rest: number): void {
    this.#doubles[apicRegisters.TIMER_START_LO] = at.lo
    this.#doubles[apicRegisters.TIMER_START_HI] = at.hi
    this.#doubles[apicRegisters.TIMER_START_REST] = rest
  }

  /** Ticks that have passed since the count began. */
  #passed(): number {
    const now = this.#now
    this.#clock.read(now)
    const ticks = this.#ticks
    const passed = ticks.of(now.since(this.#start(this.#at)))
    const ahead = this.#doubles[apicRegisters.TIMER_START_REST]! - ticks.remainder
    return ahead > 0 ? passed - Math.ceil(ahead / ticks.denominator) : passed
  }

  /** Nanoseconds from `#start` to the end of this many ticks, rounded up. */
  #nsOf(ticks: number): number {
    const ns = this.#tickNs.of(ticks)
    return (
      ns +
      Math.ceil((this.#doubles[apicRegisters.TIMER_START_REST]! + this.#tickNs.remainder) / this.#tickNs.denominator)
    )
  }

  /** Reads the time of the next expiry into `#at`. @returns false where nothing runs */
  #due(): boolean {
    const words = this.#words
    if (this.#mode() === apicRegisters.LVT_TIMER_TSC_DEADLINE) {
      const lo = words[apicRegisters.W.DEADLINE_LO]! >>> 0
      const hi = words[apicRegisters.W.DEADLINE_HI]! >>> 0
      if (lo === 0 && hi === 0) return false
      this.#tscToNs(lo, hi, this.#at)
      return true
    }
    const initial = this.#initial()
    if (initial === 0 || words[apicRegisters.W.TIMER_DONE] !== 0) return false
    this.#start(this.#at).add(this.#nsOf(initial * this.#divider()))
    return true
  }

  /** Handles an expiry that is due: to be called before a register changes, the LVT entry too. */
  settle(): void {
    if (!this.#due()) return
    this.#clock.read(this.#now)
    if (!this.#now.isBefore(this.#at)) this.#expired()
  }

  /** Starts or stops the count: a write of the initial-count register. */
  start(initial: number): void {
    // In TSC-deadline mode the register does not exist.
    if (this.#mode() === apicRegisters.LVT_TIMER_TSC_DEADLINE) return
    this.settle()
    this.#words[apicRegisters.W.TMICT] = initial
    this.#words[apicRegisters.W.TIMER_DONE] = 0
    this.#clock.read(this.#now)
    this.#setStart(this.#now, 0)
    this.resume()
  }

  /** The current-count register. */
  count(): number {
    const initial = this.#initial()
    if (
      initial === 0 ||
      this.#words[apicRegisters.W.TIMER_DONE] !== 0 ||
      this.#mode() === apicRegisters.LVT_TIMER_TSC_DEADLINE
    )
      return 0
    const passed = Math.floor(this.#passed() / this.#divider())
    if (passed < initial) return initial - passed
    return this.#mode() === apicRegisters.LVT_TIMER_PERIODIC ? initial - (passed % initial) : 0
  }

  /** The divide configuration changes: the count that is left goes on at the new rate. */
  divide(value: number): void {
    this.settle()
    const counted = this.#initial() - this.count()
    this.#words[apicRegisters.W.TDCR] = value
    const ns = this.#tickNs.of(counted * this.#divider())
    const { denominator, remainder } = this.#tickNs
    this.#clock.read(this.#now)
    this.#now.add(-ns - (remainder === 0 ? 0 : 1))
    this.#setStart(this.#now, remainder === 0 ? 0 : denominator - remainder)
    this.resume()
  }

  /** The LVT entry has changed from `old`; `settle` was called before. */
  modeChanged(old: number): void {
    const before = old & apicRegisters.LVT_TIMER_MODE
    const after = this.#mode()
    if (before === after) return
    // To or from TSC-deadline mode the timer is disarmed; else the period that runs is the last, or the first, of its mode.
    if (before === apicRegisters.LVT_TIMER_TSC_DEADLINE || after === apicRegisters.LVT_TIMER_TSC_DEADLINE) this.stop()
    else this.resume()
  }

  /** IA32_TSC_DEADLINE, low word; 0 in the other modes. */
  get deadlineLo(): number {
    return this.#mode() === apicRegisters.LVT_TIMER_TSC_DEADLINE ? this.#words[apicRegisters.W.DEADLINE_LO]! >>> 0 : 0
  }
  /** IA32_TSC_DEADLINE, high word; 0 in the other modes. */
  get deadlineHi(): number {
    return this.#mode() === apicRegisters.LVT_TIMER_TSC_DEADLINE ? this.#words[apicRegisters.W.DEADLINE_HI]! >>> 0 : 0
  }

  /** A write of IA32_TSC_DEADLINE: arms, or disarms with 0; ignored in the other modes. */
  setDeadline(lo: number, hi: number): void {
    if (this.#mode() !== apicRegisters.LVT_TIMER_TSC_DEADLINE) return
    this.settle()
    this.#words[apicRegisters.W.DEADLINE_LO] = lo
    this.#words[apicRegisters.W.DEADLINE_HI] = hi
    this.tscChanged()
  }

  /** The TSC, its offset or the deadline has changed: a deadline that has passed fires now, not at the next look. */
  tscChanged(): void {
    if (this.#mode() === apicRegisters.LVT_TIMER_TSC_DEADLINE) this.settle()
    this.resume()
  }

  /** Clears count and deadline. */
  stop(): void {
    this.#words[apicRegisters.W.TMICT] = 0
    this.#words[apicRegisters.W.TIMER_DONE] = 0
    this.#words[apicRegisters.W.DEADLINE_LO] = 0
    this.#words[apicRegisters.W.DEADLINE_HI] = 0
    this.#timer.cancel()
  }

  /** Drops the machine's timer: another view of the registers has one. */
  pause(): void {
    this.#timer.cancel()
  }

  /** Arms the machine's timer from the registers. */
  resume(): void {
    if (this.#due()) this.#timer.armAfter(0, this.#at)
    else this.#timer.cancel()
  }

  #expired(): void {
    if (this.#mode() === apicRegisters.LVT_TIMER_TSC_DEADLINE) {
      this.#words[apicRegisters.W.DEADLINE_LO] = 0
      this.#words[apicRegisters.W.DEADLINE_HI] = 0
      this.#timer.cancel()
    } else if (this.#mode() === apicRegisters.LVT_TIMER_PERIODIC) {
      // Several late expiries count as one, because the IRR has a single bit for them.
      const passed = this.#passed()
      const ns = this.#tickNs.of(passed - (passed % (this.#initial() * this.#divider())))
      const rest = this.#doubles[apicRegisters.TIMER_START_REST]! + this.#tickNs.remainder
      const { denominator } = this.#tickNs
      const carry = rest >= denominator ? 1 : 0
      this.#setStart(this.#start(this.#at).add(ns + carry), rest - carry * denominator)
      this.resume()
    } else {
      this.#words[apicRegisters.W.TIMER_DONE] = 1
      this.#timer.cancel()
    }
    this.#fire()
  }
}

/** Returns a conversion for a TSC that was 0 at time 0. @param hz - the TSC's frequency */
function tscSinceZero(hz: number): NonNullable<LocalApicOptions['tscToNs']> {
  const ratio = new Ratio(1e9, hz)
  const at = new Instant()
  return (lo, hi, into) => {
    at.lo = 0
    at.hi = ratio.word(hi, 0)
    at.add(ratio.word(lo, ratio.remainder) + (ratio.remainder === 0 ? 0 : 1))
    into.lo = at.lo
    into.hi = at.hi
  }
}
