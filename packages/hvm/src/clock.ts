import { TWO_32 } from '@retrap/basics'
import { Instant, type Clock, type Word64 } from '@retrap/device'
import { HvmError } from './errors.ts'

/** The host's time, in nanoseconds from any origin; never goes back. */
export type HostClock = () => number

/** A guest that executes and is not told the time for this long has not had the host's processor. */
const STALL_NS = 1_000_000_000
/** Time that passes for the guest in a stall. */
const STALLED_NS = 8_000_000
/** A host that has stood still for longer than this has slept: afterwards the guest has the time of day. */
const SLEEP_NS = 300_000_000_000

/** A domain's virtual time. Nanoseconds from power-on. */
export interface DomainClock extends Clock {
  /** Whether time follows from the executed instructions, so that two runs with the same input agree. */
  readonly deterministic: boolean
  /** vCPUs execute. */
  executing: boolean
  /** Instructions have retired. */
  advance(instructions: number): void
  /** All vCPUs wait: time goes on to `deadline`, as far as the clock lets it. */
  skipTo(deadline: Readonly<Word64>): void
  /**
   * The machine has stood still for want of its pages: that time is not the guest's.
   *
   * @param ns - how much of the time until now; not more than has passed since the guest last saw the time. Below 0: so much
   *   more has passed for the guest
   */
  hold(ns: number): void
  /** Returns the time by name. */
  save(): ClockState
  /**
   * Restores the clock. Timers are armed by their models' own restore.
   *
   * @throws HvmError `ERR_STATE` for a state of another kind of clock
   */
  restore(state: ClockState): void
}

/** Holds the saved state of a clock of either kind. */
export type ClockState = RealClockState | DeterministicClockState

/** Holds the saved state of a {@link RealClock}. */
export interface RealClockState {
  /** Version of this shape. */
  readonly version: 1
  /** Nanoseconds from power-on, 64 bits. */
  readonly time: Readonly<Word64>
}

/**
 * Follows the host's clock. A stall of the host is not the guest's time. It is taken out when the time is next asked for, and not
 * later: a guest that has been told the time is told no earlier one, which Linux on Arm takes for one of 4 years later.
 */
export class RealClock implements DomainClock {
  /** Time passes with the host's clock. */
  readonly deterministic = false
  /** The clock is the host's. */
  readonly realTime = true
  /** vCPUs execute: a long time without a look at the clock is a stall of the host. */
  executing = false
  readonly #host: HostClock
  /** The host's time at power-on. */
  #origin: number
  /** The time last returned. */
  #told = 0

  constructor(host: HostClock) {
    this.#host = host
    this.#origin = host()
  }

  /** Nanoseconds from power-on. */
  now(): number {
    const now = this.#host() - this.#origin
    const passed = now - this.#told
    const isStall = this.executing && passed >= STALL_NS && passed <= SLEEP_NS
    if (isStall) this.#origin += passed - STALLED_NS
    this.#told = isStall ? this.#told + STALLED_NS : now
    return this.#told
  }

  /** Reads the time in whole nanoseconds, as two words. */
  read(into: Word64): void {
    const now = this.now()
    into.lo = Math.floor(now) >>> 0
    into.hi = Math.floor(now / TWO_32)
  }

  /** Does nothing, because time follows the host's clock. */
  advance(): void {}

  /** Does nothing, because the host's time cannot be advanced. */
  skipTo(): void {}

  /** Takes time back out. */
  hold(ns: number): void {
    this.#origin += ns
    this.#told -= ns
  }

  /**
   * Has the time of another clock from now on, as long as time is taken out of neither.
   *
   * @param other - a clock on the same host
   */
  follow(other: RealClock): void {
    this.#origin = other.#origin
    this.#told = other.#told
  }

  /** Returns the time by name. */
  save(): RealClockState {
    const time = { lo: 0, hi: 0 }
    this.read(time)
    return { version: 1, time }
  }

  /** Goes on from a saved time, whichever clock it is of. @throws HvmError `ERR_STATE` for another version or shape */
  restore(state: ClockState): void {
    checkTime(state)
    this.#told = state.time.hi * TWO_32 + state.time.lo
    this.#origin = this.#host() - this.#told
  }
}

/** Holds the saved state of a {@link DeterministicClock}. */
export interface DeterministicClockState {
  /** Version of this shape. */
  readonly version: 1
  /** Nanoseconds of an instruction, which must be those of the clock that takes the state. */
  readonly nsPerInstruction: number
  /** Nanoseconds from power-on, 64 bits. */
  readonly time: Readonly<Word64>
  /** The part of a nanosecond that has passed: from 0 to less than 1. */
  readonly fraction: number
}

/**
 * Each retired instruction takes a fixed time; waiting takes none.
 *
 * Waiting can bring a guest to any time at once: a timer may be set for the year 2500. The time is exact however late it
 * is, and runs of one guest that begin at different times differ in nothing else. It stops at 2^64 − 1 ns (584 years).
 */
export class DeterministicClock implements DomainClock {
  /** Time follows from the executed instructions. */
  readonly deterministic = true
  /** Makes no difference. */
  executing = false
  readonly #nsPerInstruction: number
  readonly #time: Instant
  /** Fraction of a nanosecond: kept apart, so that precision does not fall with time. */
  #fraction = 0

  /**
   * @param nsPerInstruction - default 1: a processor of 1,000 MIPS
   * @param start - the time of power-on; default 0
   */
  constructor(nsPerInstruction = 1, start: Readonly<Word64> = new Instant()) {
    this.#nsPerInstruction = nsPerInstruction
    this.#time = new Instant(start.lo, start.hi)
  }

  /** Nanoseconds from power-on; rounded above 2^53. */
  now(): number {
    return this.#time.hi * TWO_32 + this.#time.lo
  }

  /** Reads the exact time, as two words. */
  read(into: Word64): void {
    into.lo = this.#time.lo
    into.hi = this.#time.hi
  }

  /** Adds the time of retired instructions. */
  advance(instructions: number): void {
    const ns = instructions * this.#nsPerInstruction + this.#fraction
    const whole = Math.floor(ns)
    this.#fraction = ns - whole
    this.#time.add(whole)
  }

  /** Advances to a time, unless it has passed. */
  skipTo(deadline: Readonly<Word64>): void {
    if (!this.#time.isBefore(deadline)) return
    this.#time.set(deadline)
    this.#fraction = 0
  }

  /** Does nothing, because no time passes without executed instructions. */
  hold(): void {}

  /** Returns the time by name. */
  save(): DeterministicClockState {
    const { lo, hi } = this.#time
    return { version: 1, nsPerInstruction: this.#nsPerInstruction, time: { lo, hi }, fraction: this.#fraction }
  }

  /**
   * Restores the clock. Timers are armed by their models' own restore.
   *
   * @throws HvmError `ERR_STATE` for another version or shape, for the state of a clock that followed the host's, and for
   *   another duration of an instruction
   */
  restore(state: ClockState): void {
    checkTime(state)
    const { nsPerInstruction, fraction } = state as Partial<DeterministicClockState>
    if (nsPerInstruction !== this.#nsPerInstruction)
      throw wrongClock(`${String(nsPerInstruction)} ns an instruction: expected ${this.#nsPerInstruction}`)
    if (!(fraction! >= 0 && fraction! < 1)) throw wrongClock(`fraction ${String(fraction)}: expected 0 to less than 1`)
    this.#time.set(state.time)
    this.#fraction = fraction!
  }
}

const wrongClock = (what: string): HvmError => new HvmError('ERR_STATE', `state of a clock: ${what}`)

/** @throws HvmError `ERR_STATE` for a state of another version, or without a time */
function checkTime(state: ClockState | null | undefined): void {
  if (state?.version !== 1) throw wrongClock(`version ${String(state?.version)}: expected 1`)
  for (const word of [state.time?.lo, state.time?.hi]) {
    if (word !== word >>> 0) throw wrongClock(`${String(word)} in its time: expected 32-bit words`)
  }
}
