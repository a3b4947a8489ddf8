import { TWO_32 } from '@retrap/basics'
import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
  type PlainState,
  type Word64,
} from '@retrap/device'
import { Comparator, HIGH, LOW } from './hpet-comparator.ts'
import type { LegacyInterruptSource } from './i8254.ts'
import { HPET_RATE, TickCounter } from './tick-counter.ts'

/** GPA of the register block on every PC. */
export const HPET_BASE = 0xfed0_0000
/** Bytes of the register block. */
export const HPET_BYTES = 0x400
/** Nanoseconds of one main counter tick (100 MHz). */
export const HPET_PERIOD_NS: number = HPET_RATE.nanoseconds

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

/** Lines of comparators 0 and 1 with legacy replacement: the lines of the 8254 and of the RTC. */
const LEGACY_LINES = [0, 8] as const

const ENABLE_CNF = 1 << 0
const LEG_RT_CNF = 1 << 1

/** Options of {@link Hpet}. */
export interface HpetOptions {
  /** GPA of the registers; default {@link HPET_BASE}. */
  readonly base?: number
  /** Comparators, 3 to 32; default 3. */
  readonly timers?: number
  /** The interrupts that legacy replacement cuts off: the 8254's counter 0 and the RTC. */
  readonly legacySources?: readonly LegacyInterruptSource[]
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
export class Hpet extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'hpet'
  readonly #options: HpetOptions
  readonly #timers: readonly Comparator[]
  /** Result of `readCounter`. */
  #nowLo = 0
  #nowHi = 0
  readonly #ticks = new TickCounter(HPET_RATE, 1, (ticks) => this.#originMoved(ticks))
  readonly #r = this.keeps(
    {
      version: 2,
      origin: this.#ticks.origin,
      config: 0,
      status: 0,
      /** The counter's value at tick `counterTick`. */
      counterLo: 0,
      counterHi: 0,
      counterTick: 0,
      timers: (): readonly Comparator[] => this.#timers,
    },
    { settled: (): void => this.#update() },
  )
  #context: DeviceContext | null = null
  #timer: Timer | null = null
  readonly #interruptLine = (route: number): InterruptLine | null => this.#context?.interruptLine(route) ?? null

  constructor(options: HpetOptions = {}) {
    super()
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
    this.#ticks.attach(context.clock)
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

  #originMoved(ticks: number): void {
    this.#take(ticks)
    this.#rebase(ticks)
    this.#r.counterTick = 0
    for (const timer of this.#timers) timer.shift(ticks)
  }

  /** Main counter at `tick`, into `nowLo` and `nowHi`. */
  #readCounter(tick: number): void {
    const sum = this.#r.counterLo + ((this.#r.config & ENABLE_CNF) === 0 ? 0 : tick - this.#r.counterTick)
    this.#nowLo = sum >>> 0
    this.#nowHi = (this.#r.counterHi + Math.floor(sum / TWO_32)) >>> 0
  }

  /** Fixes the count at its value for `tick`, and counts on from this value. */
  #rebase(tick: number): void {
    this.#readCounter(tick)
    this.#r.counterLo = this.#nowLo
    this.#r.counterHi = this.#nowHi
    this.#r.counterTick = tick
  }

  #readWord(offset: number): number {
    const high = (offset & 4) !== 0
    const register = offset & ~7
    if (register >= TIMERS) return this.#readTimer(register, high)
    switch (register) {
      case GCAP_ID:
        return high ? HPET_PERIOD_NS * FEMTOSECONDS_PER_NS : this.capabilities
      case GEN_CONF:
        return high ? 0 : this.#r.config
      case GINTR_STA:
        if (high) return 0
        this.#update()
        return this.#r.status >>> 0
      case MAIN_CNT:
        this.#readCounter(this.#ticks.now())
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
        return timer.readConfig(high)
      case TN_COMPARATOR:
        this.#update()
        return timer.readComparator(high)
      default:
        return 0
    }
  }

  #writeRegister(register: number, halves: number, lo: number, hi: number): void {
    // Work that was due before this write is done by the old settings.
    this.#update()
    const tick = this.#ticks.now()
    if (register >= TIMERS) {
      this.#writeTimer(register, halves, lo, hi, tick)
    } else if (register === GEN_CONF) {
      if ((halves & LOW) !== 0) this.#writeConfig(lo, tick)
    } else if (register === GINTR_STA) {
      if ((halves & LOW) !== 0) this.#r.status &= ~lo
    } else if (register === MAIN_CNT && (this.#r.config & ENABLE_CNF) === 0) {
      // Writes to a running counter have undefined results; they are dropped.
      if ((halves & LOW) !== 0) this.#r.counterLo = lo
      if ((halves & HIGH) !== 0) this.#r.counterHi = hi
    }
    this.#update()
  }

  #writeConfig(value: number, tick: number): void {
    const changed = (this.#r.config ^ value) & (ENABLE_CNF | LEG_RT_CNF)
    if ((changed & ENABLE_CNF) !== 0) {
      this.#rebase(tick)
      this.#r.config ^= ENABLE_CNF
      for (const timer of this.#timers) this.#aim(timer, tick)
    }
    if ((changed & LEG_RT_CNF) !== 0) {
      this.#r.config ^= LEG_RT_CNF
      const on = (this.#r.config & LEG_RT_CNF) !== 0
      for (const source of this.#options.legacySources ?? []) source.suppressInterrupt(on)
    }
  }

  #writeTimer(register: number, halves: number, lo: number, hi: number, tick: number): void {
    const timer = this.#timers[Math.floor((register - TIMERS) / TIMER_BYTES)]
    if (timer === undefined) return
    switch (register & (TIMER_BYTES - 1)) {
      case TN_CONF:
        if ((halves & LOW) === 0) return
        if (timer.writeConfig(lo)) this.#aim(timer, tick)
        if (!timer.isLevel()) this.#r.status &= ~(1 << this.#timers.indexOf(timer))
        return
      case TN_COMPARATOR:
        if (timer.writeComparator(halves, lo, hi)) this.#aim(timer, tick)
        return
      default:
        return
    }
  }

  /** Works out when the counter next equals the comparator. */
  #aim(timer: Comparator, tick: number): void {
    if ((this.#r.config & ENABLE_CNF) === 0) return timer.stop()
    this.#readCounter(tick)
    timer.aim(tick, this.#nowLo, this.#nowHi)
  }

  #lineOf(index: number, timer: Comparator): InterruptLine | null {
    const legacy = (this.#r.config & LEG_RT_CNF) !== 0 && index < 2
    return timer.line(legacy ? LEGACY_LINES[index]! : null, this.#interruptLine)
  }

  /** Takes all matches that are due, drives the lines, and sets the machine's timer. */
  #update(): void {
    const next = this.#take(this.#ticks.now())
    const timer = this.#timer
    if (timer === null) return
    if (next === Infinity) timer.cancel()
    else this.#ticks.arm(timer, next)
  }

  /** Takes all matches up to a tick and drives the lines. @returns the tick of the next look; Infinity: none is needed */
  #take(tick: number): number {
    let next = Infinity
    for (let index = 0; index < this.#timers.length; index++) {
      const timer = this.#timers[index]!
      const matches = timer.advance(tick)
      const level = timer.isLevel()
      const enabled = timer.isEnabled()
      const line = this.#lineOf(index, timer)
      if (level) {
        if (matches > 0) this.#r.status |= 1 << index
        line?.set(enabled && (this.#r.status & (1 << index)) !== 0)
      } else {
        line?.set(false)
        if (!enabled) timer.late.forget()
        else if (timer.late.take(matches, tick, timer.period())) line?.pulse()
      }
      if (enabled || level) next = Math.min(next, timer.matchTick, timer.late.next)
    }
    return next
  }

  /** Returns the registers to their state at power-on. */
  override reset(): void {
    const legacy = (this.#r.config & LEG_RT_CNF) !== 0
    super.reset()
    if (legacy) for (const source of this.#options.legacySources ?? []) source.suppressInterrupt(false)
    this.#update()
  }

  /** Returns the state as plain data. */
  override save(): PlainState {
    this.#update()
    return { ...super.save(), status: this.#r.status >>> 0 }
  }
}
