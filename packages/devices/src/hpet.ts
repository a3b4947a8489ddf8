import {
  type AccessSize,
  type Clock,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  savedState,
  type SynchronousRangeHandler,
  type Timer,
  type Word64,
} from '@retrap/device'
import { LateEdges, type LateEdgesState } from './late-edges.ts'
import type { LegacyInterruptSource } from './i8254.ts'

/** GPA of the register block on every PC. */
export const HPET_BASE = 0xfed0_0000
/** Bytes of the register block. */
export const HPET_BYTES = 0x400
/** Nanoseconds of one main counter tick (100 MHz). */
export const HPET_PERIOD_NS = 10

const GCAP_ID = 0x000
const GEN_CONF = 0x010
const GINTR_STA = 0x020
const MAIN_CNT = 0x0f0
const TIMERS = 0x100
const TIMER_BYTES = 0x20
const TN_CONF = 0x00
const TN_COMPARATOR = 0x08

const REVISION = 0x01
const COUNT_SIZE_CAP = 1 << 13
const LEG_RT_CAP = 1 << 15
const VENDOR_ID = 0x8086
const FEMTOSECONDS_PER_NS = 1_000_000

const ENABLE_CNF = 1 << 0
const LEG_RT_CNF = 1 << 1

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

const TWO32 = 0x1_0000_0000
/** Matches further away than this many ticks (over a year) are not waited for; a number stays exact below. */
const FAR = 2 ** 50
const NO_ROUTE = -1
const LOW = 1
const HIGH = 2

/** Options of {@link Hpet}. */
export interface HpetOptions {
  /** GPA of the registers; default {@link HPET_BASE}. */
  readonly base?: number
  /** Comparators, 3 to 32; default 3. */
  readonly timers?: number
  /** What legacy replacement cuts off: the 8254's counter 0 and the RTC. */
  readonly legacySources?: readonly LegacyInterruptSource[]
}

/** Saved form of one comparator. */
export interface HpetTimerState {
  /** Low half of the Configuration and Capability register. */
  readonly config: number
  /** Low half of the comparator. */
  readonly comparatorLo: number
  /** High half of the comparator. */
  readonly comparatorHi: number
  /** Low half of the period of a periodic comparator. */
  readonly periodLo: number
  /** High half of the period of a periodic comparator. */
  readonly periodHi: number
  /** Tick of virtual time of the next match; null: none in sight. */
  readonly matchTick: number | null
  /** Edges that were due and have not been given. */
  readonly late: LateEdgesState
}

/** Saved form of an {@link Hpet}. */
export interface HpetState {
  /** Layout of the state. */
  readonly version: 1
  /** General Configuration register. */
  readonly config: number
  /** General Interrupt Status register. */
  readonly status: number
  /** Low half of the main counter. */
  readonly counterLo: number
  /** High half of the main counter. */
  readonly counterHi: number
  /** Tick of virtual time at which the counter, if enabled, held `counterLo` and `counterHi`. */
  readonly counterTick: number
  /** The comparators, by number. */
  readonly timers: readonly HpetTimerState[]
}

class Comparator {
  config = 0
  comparatorLo = 0xffff_ffff
  comparatorHi = 0xffff_ffff
  periodLo = 0
  periodHi = 0
  /** Tick of virtual time at which the counter next equals the comparator, or Infinity. */
  matchTick = Infinity
  /** The next write of the comparator sets it and not only the period. */
  valueSet = false
  /** The line last used, so that a change of route lets go of it. */
  line: InterruptLine | null = null
  route = NO_ROUTE
  readonly late = new LateEdges(1e9 / HPET_PERIOD_NS)
}

/**
 * High Precision Event Timers: a 64-bit up-counter of 100 MHz and comparators,
 * each one-shot or periodic, 32 or 64 bits, edge or level. No FSB (MSI)
 * delivery, which the capability bits say.
 *
 * A write of a periodic comparator with VAL_SET sets comparator and period,
 * and clears VAL_SET, whatever its width; one without sets the period only.
 * Edges of periods that the machine was too late for follow one by one (`LateEdges`); a level is one interrupt.
 *
 * Source: IA-PC HPET (High Precision Event Timers) Specification 1.0a.
 */
export class Hpet implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'hpet'
  readonly #options: HpetOptions
  readonly #timers: readonly Comparator[]
  #config = 0
  #status = 0
  #counterLo = 0
  #counterHi = 0
  #counterTick = 0
  /** Result of `readCounter`. */
  #nowLo = 0
  #nowHi = 0
  #clock: Clock | null = null
  #context: DeviceContext | null = null
  #timer: Timer | null = null

  constructor(options: HpetOptions = {}) {
    const count = options.timers ?? 3
    if (!Number.isInteger(count) || count < 3 || count > 32)
      throw new DeviceError('ERR_OPTION', `hpet: ${count} timers: expected 3 to 32`)
    this.#options = options
    this.#timers = Array.from({ length: count }, () => new Comparator())
  }

  /** Low half of the General Capabilities register, which the ACPI HPET table repeats. */
  get capabilities(): number {
    return (REVISION | ((this.#timers.length - 1) << 8) | COUNT_SIZE_CAP | LEG_RT_CAP | (VENDOR_ID << 16)) >>> 0
  }

  /** GPA of the registers. */
  get base(): number {
    return this.#options.base ?? HPET_BASE
  }

  /** Claims the registers and takes the lines that comparators can be routed to. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#clock = context.clock
    this.#timer = context.timer(() => this.#update())
    const handler: SynchronousRangeHandler = {
      read: (offset: number): number => this.#readWord(offset & ~3),
      write: (offset: number, _size: AccessSize, value: number): void => {
        const high = (offset & 4) !== 0
        this.#writeRegister(offset & ~7, high ? HIGH : LOW, value, value)
      },
      read64: (offset: number, into: Word64): void => {
        into.lo = this.#readWord(offset & ~7)
        into.hi = this.#readWord((offset & ~7) + 4)
      },
      write64: (offset: number, lo: number, hi: number): void => this.#writeRegister(offset & ~7, LOW | HIGH, lo, hi),
    }
    context.mapMmio(this.base, HPET_BYTES, handler, { minimumAccess: 4, maximumAccess: 8 })
  }

  #tick(): number {
    return this.#clock === null ? 0 : Math.floor(this.#clock.now() / HPET_PERIOD_NS)
  }

  /** Main counter at `tick`, into `nowLo` and `nowHi`. */
  #readCounter(tick: number): void {
    const sum = this.#counterLo + ((this.#config & ENABLE_CNF) === 0 ? 0 : tick - this.#counterTick)
    this.#nowLo = sum % TWO32
    this.#nowHi = (this.#counterHi + Math.floor(sum / TWO32)) % TWO32
  }

  /** Stops the count at what it is at `tick`, and goes on from there. */
  #rebase(tick: number): void {
    this.#readCounter(tick)
    this.#counterLo = this.#nowLo
    this.#counterHi = this.#nowHi
    this.#counterTick = tick
  }

  #readWord(offset: number): number {
    const high = (offset & 4) !== 0
    const register = offset & ~7
    if (register >= TIMERS) return this.#readTimer(register, high)
    switch (register) {
      case GCAP_ID:
        return high ? HPET_PERIOD_NS * FEMTOSECONDS_PER_NS : this.capabilities
      case GEN_CONF:
        return high ? 0 : this.#config
      case GINTR_STA:
        if (high) return 0
        this.#update()
        return this.#status >>> 0
      case MAIN_CNT:
        this.#readCounter(this.#tick())
        return high ? this.#nowHi : this.#nowLo
      default:
        return 0
    }
  }

  #readTimer(register: number, high: boolean): number {
    const timer = this.#timers[Math.floor((register - TIMERS) / TIMER_BYTES)]
    if (timer === undefined) return 0
    switch (register & (TIMER_BYTES - 1)) {
      case TN_CONF:
        return high ? ROUTE_CAP : timer.config | TN_PER_INT_CAP | TN_SIZE_CAP
      case TN_COMPARATOR:
        this.#update()
        if (high) return (timer.config & TN_32MODE) === 0 ? timer.comparatorHi : 0
        return timer.comparatorLo
      default:
        return 0
    }
  }

  #writeRegister(register: number, halves: number, lo: number, hi: number): void {
    // What was due before this write is done by the old settings.
    this.#update()
    const tick = this.#tick()
    if (register >= TIMERS) {
      this.#writeTimer(register, halves, lo, hi, tick)
    } else if (register === GEN_CONF) {
      if ((halves & LOW) !== 0) this.#writeConfig(lo, tick)
    } else if (register === GINTR_STA) {
      if ((halves & LOW) !== 0) this.#status &= ~lo
    } else if (register === MAIN_CNT && (this.#config & ENABLE_CNF) === 0) {
      // Writes to a running counter have undefined results; they are dropped.
      if ((halves & LOW) !== 0) this.#counterLo = lo
      if ((halves & HIGH) !== 0) this.#counterHi = hi
    }
    this.#update()
  }

  #writeConfig(value: number, tick: number): void {
    const changed = (this.#config ^ value) & (ENABLE_CNF | LEG_RT_CNF)
    if ((changed & ENABLE_CNF) !== 0) {
      this.#rebase(tick)
      this.#config ^= ENABLE_CNF
      for (const timer of this.#timers) this.#aim(timer, tick)
    }
    if ((changed & LEG_RT_CNF) !== 0) {
      this.#config ^= LEG_RT_CNF
      const on = (this.#config & LEG_RT_CNF) !== 0
      for (const source of this.#options.legacySources ?? []) source.suppressInterrupt(on)
    }
  }

  #writeTimer(register: number, halves: number, lo: number, hi: number, tick: number): void {
    const timer = this.#timers[Math.floor((register - TIMERS) / TIMER_BYTES)]
    if (timer === undefined) return
    switch (register & (TIMER_BYTES - 1)) {
      case TN_CONF: {
        if ((halves & LOW) === 0) return
        const route = (lo & TN_ROUTE_MASK) >> TN_ROUTE_SHIFT
        // "If the value is not supported, the value read back will not match."
        const kept = (ROUTE_CAP >>> route) & 1 ? lo & TN_ROUTE_MASK : timer.config & TN_ROUTE_MASK
        const before = timer.config
        timer.config = (lo & TN_WRITABLE) | kept
        timer.valueSet = (lo & TN_VAL_SET) !== 0
        if (((before ^ timer.config) & (TN_32MODE | TN_TYPE_PERIODIC)) !== 0) this.#aim(timer, tick)
        if ((timer.config & TN_INT_TYPE_LEVEL) === 0) this.#status &= ~(1 << this.#timers.indexOf(timer))
        return
      }
      case TN_COMPARATOR: {
        const periodic = (timer.config & TN_TYPE_PERIODIC) !== 0
        if (periodic) {
          if ((halves & LOW) !== 0) timer.periodLo = lo
          if ((halves & HIGH) !== 0) timer.periodHi = hi
          if (!timer.valueSet) return
        }
        timer.valueSet = false
        if ((halves & LOW) !== 0) timer.comparatorLo = lo
        if ((halves & HIGH) !== 0) timer.comparatorHi = hi
        this.#aim(timer, tick)
        return
      }
      default:
        return
    }
  }

  /** Works out when the counter next equals the comparator. */
  #aim(timer: Comparator, tick: number): void {
    timer.matchTick = Infinity
    timer.late.forget()
    if ((this.#config & ENABLE_CNF) === 0) return
    this.#readCounter(tick)
    let distance = timer.comparatorLo - this.#nowLo
    const borrow = distance < 0 ? 1 : 0
    distance += borrow * TWO32
    if ((timer.config & TN_32MODE) === 0) {
      const high = timer.comparatorHi - this.#nowHi - borrow
      distance += (high < 0 ? high + TWO32 : high) * TWO32
    }
    if (distance < FAR) timer.matchTick = tick + distance
  }

  #period(timer: Comparator): number {
    return (timer.config & TN_32MODE) === 0 ? timer.periodHi * TWO32 + timer.periodLo : timer.periodLo
  }

  /** Takes the matches up to `tick`. @returns how many there were */
  #advance(timer: Comparator, tick: number): number {
    if (timer.matchTick > tick) return 0
    let matches = 1
    const period = this.#period(timer)
    if ((timer.config & TN_TYPE_PERIODIC) !== 0 && period > 0) {
      const steps = Math.floor((tick - timer.matchTick) / period) + 1
      const ahead = steps * period
      matches = steps
      timer.matchTick = ahead < FAR ? timer.matchTick + ahead : Infinity
      const sum = timer.comparatorLo + (ahead % TWO32)
      timer.comparatorLo = sum % TWO32
      if ((timer.config & TN_32MODE) === 0)
        timer.comparatorHi = (timer.comparatorHi + Math.floor(ahead / TWO32) + Math.floor(sum / TWO32)) % TWO32
    } else if ((timer.config & TN_32MODE) !== 0) {
      // The low halves meet again when the counter has gone round.
      timer.matchTick += (Math.floor((tick - timer.matchTick) / TWO32) + 1) * TWO32
    } else {
      timer.matchTick = Infinity
    }
    return matches
  }

  #lineOf(index: number, timer: Comparator): InterruptLine | null {
    const chosen = (timer.config & TN_ROUTE_MASK) >> TN_ROUTE_SHIFT
    let route = NO_ROUTE
    if ((this.#config & LEG_RT_CNF) !== 0 && index < 2) route = index === 0 ? 0 : 8
    // The reset value 0 is not in the capability mask: connected to nothing.
    else if (((ROUTE_CAP >>> chosen) & 1) !== 0) route = chosen
    if (route !== timer.route) {
      timer.line?.set(false)
      timer.route = route
      timer.line = route === NO_ROUTE ? null : (this.#context?.interruptLine(route) ?? null)
    }
    return timer.line
  }

  /** Takes all matches that are due, drives the lines, and sets the host timer. */
  #update(): void {
    const tick = this.#tick()
    let next = Infinity
    for (let index = 0; index < this.#timers.length; index++) {
      const timer = this.#timers[index]!
      const matches = this.#advance(timer, tick)
      const level = (timer.config & TN_INT_TYPE_LEVEL) !== 0
      const enabled = (timer.config & TN_INT_ENB) !== 0
      const line = this.#lineOf(index, timer)
      if (level) {
        if (matches > 0) this.#status |= 1 << index
        line?.set(enabled && (this.#status & (1 << index)) !== 0)
      } else {
        line?.set(false)
        const periodic = (timer.config & TN_TYPE_PERIODIC) !== 0
        if (!enabled) timer.late.forget()
        else if (timer.late.take(matches, tick, periodic ? this.#period(timer) : 0)) line?.pulse()
      }
      if (enabled || level) next = Math.min(next, timer.matchTick, timer.late.next)
    }
    if (next === Infinity) this.#timer?.cancel()
    else this.#timer?.arm(next * HPET_PERIOD_NS)
  }

  /** Returns the registers to their state at power-on. */
  reset(): void {
    const legacy = (this.#config & LEG_RT_CNF) !== 0
    this.#config = 0
    this.#status = 0
    this.#counterLo = 0
    this.#counterHi = 0
    this.#counterTick = 0
    for (const timer of this.#timers) {
      timer.line?.set(false)
      timer.config = 0
      timer.comparatorLo = 0xffff_ffff
      timer.comparatorHi = 0xffff_ffff
      timer.periodLo = 0
      timer.periodHi = 0
      timer.matchTick = Infinity
      timer.valueSet = false
      timer.late.forget()
    }
    if (legacy) for (const source of this.#options.legacySources ?? []) source.suppressInterrupt(false)
    this.#update()
  }

  /** Returns the state as plain data. */
  save(): HpetState {
    this.#update()
    return {
      version: 1,
      config: this.#config,
      status: this.#status >>> 0,
      counterLo: this.#counterLo,
      counterHi: this.#counterHi,
      counterTick: this.#counterTick,
      timers: this.#timers.map((timer) => ({
        config: timer.config | (timer.valueSet ? TN_VAL_SET : 0),
        comparatorLo: timer.comparatorLo,
        comparatorHi: timer.comparatorHi,
        periodLo: timer.periodLo,
        periodHi: timer.periodHi,
        matchTick: timer.matchTick === Infinity ? null : timer.matchTick,
        late: timer.late.save(),
      })),
    }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const saved = savedState<HpetState>(this.name, state, 1)
    if (saved.timers.length !== this.#timers.length)
      throw new DeviceError(
        'ERR_STATE',
        `hpet: saved state of ${saved.timers.length} timers: expected ${this.#timers.length}`,
      )
    this.#config = saved.config
    this.#status = saved.status
    this.#counterLo = saved.counterLo
    this.#counterHi = saved.counterHi
    this.#counterTick = saved.counterTick
    saved.timers.forEach((from, index) => {
      const timer = this.#timers[index]!
      timer.config = from.config & ~TN_VAL_SET
      timer.valueSet = (from.config & TN_VAL_SET) !== 0
      timer.comparatorLo = from.comparatorLo
      timer.comparatorHi = from.comparatorHi
      timer.periodLo = from.periodLo
      timer.periodHi = from.periodHi
      timer.matchTick = from.matchTick ?? Infinity
      timer.late.restore(from.late)
    })
    this.#update()
  }
}
