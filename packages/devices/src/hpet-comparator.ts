import { TWO_32 } from '@retrap/basics'
import { type InterruptLine, Stateful, type PlainState } from '@retrap/device'
import { LateEdges } from './late-edges.ts'
import { HPET_RATE } from './tick-counter.ts'

const TN_INT_TYPE_LEVEL = 1 << 1
const TN_INT_ENB = 1 << 2
const TN_TYPE_PERIODIC = 1 << 3
const TN_PER_INT_CAP = 1 << 4
const TN_SIZE_CAP = 1 << 5
const TN_VAL_SET = 1 << 6
const TN_32MODE = 1 << 8
const TN_ROUTE_SHIFT = 9
const TN_ROUTE_MASK = 0x1f << TN_ROUTE_SHIFT
const TN_WRITABLE = TN_INT_TYPE_LEVEL | TN_INT_ENB | TN_TYPE_PERIODIC | TN_32MODE
/** I/O APIC inputs that a timer may use: 20 to 23, which no ISA line and no PCI link uses. */
const ROUTE_CAP = 0x00f0_0000

/** A match that is further away is waited for in laps of this many ticks (65 days): their nanoseconds are exact in a number. */
const LAP_TICKS = 2 ** 49
const LAP_HIGH = LAP_TICKS / TWO_32
/** High half of a distance that ends after the machine's clock does, at 2^64 ns. */
const NEVER_HIGH = Math.ceil((TWO_32 * HPET_RATE.ticks) / HPET_RATE.nanoseconds)
const NO_ROUTE = -1

/** The half, or halves, of a 64-bit register that a write reaches. */
export const LOW = 1
export const HIGH = 2

/**
 * One comparator of an HPET: its registers, and the ticks at which the main counter matches it.
 *
 * Source: IA-PC HPET Specification 1.0a, "Timer N Configuration and Capabilities Register", "Timer N Comparator Register".
 */
export class Comparator extends Stateful {
  /** Tick at which the counter next equals the comparator once no laps are left, or Infinity. */
  matchTick: number = Infinity
  readonly late: LateEdges = new LateEdges((HPET_RATE.ticks * 1e9) / HPET_RATE.nanoseconds)
  readonly #r = this.keeps(
    {
      config: 0,
      comparatorLo: 0xffff_ffff,
      comparatorHi: 0xffff_ffff,
      periodLo: 0,
      periodHi: 0,
      matchTick: {
        save: (): number | null => (this.matchTick === Infinity ? null : this.matchTick),
        restore: (tick: number | null): void => void (this.matchTick = tick ?? Infinity),
      },
      /** The match is this many times `LAP_TICKS` later: 64 bits of ticks do not fit a number. */
      laps: 0,
      late: this.late,
    },
    {
      settled: (): void => {
        this.#valueSet = (this.#r.config & TN_VAL_SET) !== 0
        this.#r.config &= ~TN_VAL_SET
      },
    },
  )
  /** The next write of the comparator sets it and not only the period. */
  #valueSet = false
  /** The line used last: a change of route releases it. */
  #line: InterruptLine | null = null
  #route = NO_ROUTE

  /** Whether the comparator's interrupt is level-triggered. */
  isLevel(): boolean {
    return (this.#r.config & TN_INT_TYPE_LEVEL) !== 0
  }

  /** Whether the comparator may interrupt. */
  isEnabled(): boolean {
    return (this.#r.config & TN_INT_ENB) !== 0
  }

  /** Ticks from one match to the next, rounded above 2^53; 0: it is not periodic. */
  period(): number {
    if ((this.#r.config & TN_TYPE_PERIODIC) === 0) return 0
    return (this.#r.config & TN_32MODE) === 0 ? this.#r.periodHi * TWO_32 + this.#r.periodLo : this.#r.periodLo
  }

  /** Reads a half of the Configuration and Capability register. */
  readConfig(high: boolean): number {
    return high ? ROUTE_CAP : this.#r.config | TN_PER_INT_CAP | TN_SIZE_CAP
  }

  /** Reads a half of the comparator. */
  readComparator(high: boolean): number {
    if (!high) return this.#r.comparatorLo
    return (this.#r.config & TN_32MODE) === 0 ? this.#r.comparatorHi : 0
  }

  /** Writes the low half of the configuration. @returns whether the next match is to be worked out again */
  writeConfig(lo: number): boolean {
    const route = (lo & TN_ROUTE_MASK) >> TN_ROUTE_SHIFT
    // "If the value is not supported, the value read back will not match."
    const kept = (ROUTE_CAP >>> route) & 1 ? lo & TN_ROUTE_MASK : this.#r.config & TN_ROUTE_MASK
    const before = this.#r.config
    this.#r.config = (lo & TN_WRITABLE) | kept
    this.#valueSet = (lo & TN_VAL_SET) !== 0
    return ((before ^ this.#r.config) & (TN_32MODE | TN_TYPE_PERIODIC)) !== 0
  }

  /**
   * Writes the comparator: of a periodic one without VAL_SET the period alone.
   *
   * @param halves - the written halves: `LOW`, `HIGH` or both
   * @returns whether the next match is to be worked out again
   */
  writeComparator(halves: number, lo: number, hi: number): boolean {
    if ((this.#r.config & TN_TYPE_PERIODIC) !== 0) {
      if ((halves & LOW) !== 0) this.#r.periodLo = lo
      if ((halves & HIGH) !== 0) this.#r.periodHi = hi
      if (!this.#valueSet) return false
    }
    this.#valueSet = false
    if ((halves & LOW) !== 0) this.#r.comparatorLo = lo
    if ((halves & HIGH) !== 0) this.#r.comparatorHi = hi
    return true
  }

  /** Stops the counter, so that no match occurs. */
  stop(): void {
    this.matchTick = Infinity
    this.#r.laps = 0
    this.late.forget()
  }

  /** Works out when the running counter, which is `counterHi:counterLo` at `tick`, next equals the comparator. */
  aim(tick: number, counterLo: number, counterHi: number): void {
    this.stop()
    const low = this.#r.comparatorLo - counterLo
    const borrow = low < 0 ? 1 : 0
    const high = (this.#r.config & TN_32MODE) === 0 ? (this.#r.comparatorHi - counterHi - borrow) >>> 0 : 0
    this.#moveMatch(tick, low + borrow * TWO_32, high)
  }

  /** Sets the match to this many ticks, 64 bits, after a tick. */
  #moveMatch(tick: number, lo: number, hi: number): void {
    const never = hi >= NEVER_HIGH
    this.#r.laps = never ? 0 : Math.floor(hi / LAP_HIGH)
    this.matchTick = never ? Infinity : tick + (hi % LAP_HIGH) * TWO_32 + lo
  }

  /** The ticks are counted from an origin that is this many ticks later. */
  shift(ticks: number): void {
    this.matchTick -= ticks
    this.late.shift(ticks)
  }

  /** Processes the matches up to `tick`. @returns how many occurred */
  advance(tick: number): number {
    while (this.#r.laps > 0 && this.matchTick <= tick) {
      this.#r.laps--
      this.matchTick += LAP_TICKS
    }
    if (this.matchTick > tick) return 0
    const period = this.period()
    if (period > 0) return this.#advancePeriods(tick, period)
    if ((this.#r.config & TN_32MODE) !== 0) {
      // The low halves meet again when the counter has gone round.
      this.matchTick += (Math.floor((tick - this.matchTick) / TWO_32) + 1) * TWO_32
    } else {
      this.matchTick = Infinity
    }
    return 1
  }

  /** Advances comparator and match by whole periods. @returns how many */
  #advancePeriods(tick: number, period: number): number {
    // The match is at most one step of the origin ago: only periods that are shorter pass more than once.
    const short = period < LAP_TICKS
    const periods = short ? Math.floor((tick - this.matchTick) / period) + 1 : 1
    const lo = short ? (periods * period) % TWO_32 : this.#r.periodLo
    const hi = short ? Math.floor((periods * period) / TWO_32) : this.#r.periodHi
    this.#moveMatch(this.matchTick, lo, hi)
    const sum = this.#r.comparatorLo + lo
    this.#r.comparatorLo = sum % TWO_32
    if ((this.#r.config & TN_32MODE) === 0)
      this.#r.comparatorHi = (this.#r.comparatorHi + hi + Math.floor(sum / TWO_32)) % TWO_32
    return periods
  }

  /**
   * Returns the comparator's interrupt line, and releases the previous line after a change of route.
   *
   * @param legacy - line of legacy replacement, which is in force; null: it is not
   */
  line(legacy: number | null, lineOf: (route: number) => InterruptLine | null): InterruptLine | null {
    const chosen = (this.#r.config & TN_ROUTE_MASK) >> TN_ROUTE_SHIFT
    let route = NO_ROUTE
    if (legacy !== null) route = legacy
    // The reset value 0 is not in the capability mask: the timer is then connected to no input.
    else if (((ROUTE_CAP >>> chosen) & 1) !== 0) route = chosen
    if (route !== this.#route) {
      this.#line?.set(false)
      this.#route = route
      this.#line = route === NO_ROUTE ? null : lineOf(route)
    }
    return this.#line
  }

  /** Returns the registers to their state at power-on. */
  override save(): PlainState {
    return { ...super.save(), config: this.#r.config | (this.#valueSet ? TN_VAL_SET : 0) }
  }

  override reset(): void {
    this.#line?.set(false)
    super.reset()
    this.stop()
  }
}
