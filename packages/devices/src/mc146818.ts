import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  Instant,
  type InterruptLine,
  type PlainState,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { type CmosConfiguration, fillCmos } from './cmos-layout.ts'
import type { LegacyInterruptSource } from './i8254.ts'
import { B_24H, DAY_ALARM, DAY_ALARM_BITS, isTime, REG_B, RtcTime } from './rtc-time.ts'
import { RTC_RATE, TickCounter } from './tick-counter.ts'

const PORT_INDEX = 0x70
const CMOS_BYTES = 128

const REG_A = 10
const REG_C = 12
/** Shutdown status, by which firmware knows the reason of a reset. */
const REG_SHUTDOWN = 15
/** The code that QEMU leaves there for a machine that wakes from S3, and that SeaBIOS and OVMF look for. */
const SHUTDOWN_S3 = 0xfe
/** Register D, whose low bits are the day of the alarm. */
const REG_D = DAY_ALARM

const A_UIP = 0x80
const A_DIVIDER = 0x70
const A_DIVIDER_32768 = 0x20
const A_RATE = 0x0f
const B_SET = 0x80
const B_PIE = 0x40
const B_AIE = 0x20
const B_UIE = 0x10
const C_IRQF = 0x80
const C_PF = 0x40
const C_AF = 0x20
const C_UF = 0x10
const D_VRT = 0x80

const SECOND_NS = 1_000_000_000
/** The base advances by this many seconds (12 days), so that nanoseconds since the base are exact. */
const STEP_SECONDS = 2 ** 20
/** The longest period of the periodic interrupt, in ticks of 32.768 kHz; the others divide it. */
const LONGEST_PERIOD_TICKS = 1 << 14
/** UIP rises 244 µs before the update, which takes 1984 µs at 32.768 kHz. */
const UIP_NS = 244_000 + 1_984_000

/** An absence is hidden for this many seconds at most. */
const HIDDEN_SECONDS = 60
/** A difference of instants of the wall clock is exact to this much. */
const ROUNDING_SECONDS = 1e-3

/** Options of {@link Mc146818}. */
export interface Mc146818Options extends CmosConfiguration {
  /** Wall-clock time at power-on in seconds from 1970-01-01, in the zone that the clock keeps (UTC, usually). */
  readonly epochSeconds: number
  /**
   * The host's wall clock, in seconds. A restored clock moves on by the time that has passed on the wall clock since it
   * was saved; default: it goes on from the time that it showed.
   */
  readonly wallClock?: () => number
  /** ISA line; default 8. */
  readonly irq?: number
  /** Called for each alarm with interrupts enabled, which can wake a machine. */
  readonly onAlarm?: () => void
  /** Whether the machine sleeps (S3): a reset then leaves the alarm's interrupt on, and tells firmware of it. */
  readonly isAsleep?: () => boolean
}

/**
 * MC146818 real-time clock and the PC's CMOS RAM, at ports 0x70 and 0x71.
 *
 * Time runs from the machine's clock. Dates that no calendar has run on into
 * the next month as soon as the clock is set going. Daylight saving (DSE) is
 * stored and does nothing, as in all later chips.
 *
 * Source: Motorola MC146818 data sheet; Intel PIIX4 data sheet, "Real Time
 * Clock Registers".
 */
export class Mc146818 extends Stateful implements DeviceModel, LegacyInterruptSource {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'mc146818'
  readonly #options: Mc146818Options
  /** All registers. Of the time registers only the alarms are always current; see `RtcTime.write`. */
  readonly #cmos = new Uint8Array(CMOS_BYTES)
  readonly #time = new RtcTime(this.#cmos)
  readonly #base = new Instant()
  readonly #now = new Instant()
  readonly #ticks = new TickCounter(RTC_RATE, LONGEST_PERIOD_TICKS, (ticks) => this.#originMoved(ticks))
  readonly #r = this.keeps({
    version: 3,
    wallSeconds: {
      save: (): number | null => this.#options.wallClock?.() ?? null,
      restore: (seconds?: number | null): void => void (this.#savedAt = seconds ?? null),
    },
    /** The register that port 0x71 reaches, and bit 7 of port 0x70. */
    index: 0,
    nmiMasked: false,
    cmos: this.#cmos,
    /** Seconds since 1970 that the clock showed at `base`, the beginning of that second. Both move on together. */
    baseSeconds: 0,
    base: this.#base,
    /** The tick from which periods are counted. */
    origin: this.#ticks.origin,
    weekdayShift: {
      save: (): number => this.#time.weekdayShift,
      restore: (days: number): void => void (this.#time.weekdayShift = days),
    },
    flags: 0,
    /** Second and period up to which flags were taken. */
    seenSeconds: 0,
    seenPeriods: 0,
    /** An HPET has taken over the interrupt. */
    suppressed: false,
    /** The clock's time, in seconds since 1970, at an instant of the host's wall clock; null: independent of the host. */
    reference: null as { readonly shown: number; readonly wall: number } | null,
    /** Seconds that it was moved on by when it was restored, since then or since the machine has slept. */
    absence: 0,
    /** Second up to which a gap in time is hidden at most; null: no gap. */
    hiddenUntil: null as number | null,
  })
  /** The host's wall clock when the state was saved. */
  #savedAt: number | null = null
  #context: DeviceContext | null = null
  #line: InterruptLine | null = null
  #timer: Timer | null = null

  constructor(options: Mc146818Options) {
    super()
    if (!Number.isFinite(options.epochSeconds))
      throw new DeviceError('ERR_OPTION', `mc146818: epochSeconds ${options.epochSeconds}: expected a finite number`)
    if (!Number.isInteger(options.cpus) || options.cpus < 1)
      throw new DeviceError('ERR_OPTION', `mc146818: ${options.cpus} cpus: expected at least 1`)
    this.#options = options
    this.#r.baseSeconds = Math.floor(options.epochSeconds)
    fillCmos(this.#cmos, options)
    this.#cmos[REG_A] = A_DIVIDER_32768 | 6
    this.#cmos[REG_B] = B_24H
    this.#r.seenSeconds = this.#r.baseSeconds
    this.#refer(options.epochSeconds)
  }

  /** Whether the guest has masked NMIs through bit 7 of port 0x70. */
  get nmiMasked(): boolean {
    return this.#r.nmiMasked
  }

  /** Claims ports 0x70 and 0x71 and takes the interrupt line. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#ticks.attach(context.clock)
    context.clock.read(this.#base)
    const { epochSeconds } = this.#options
    this.#base.add(-Math.floor((epochSeconds - Math.floor(epochSeconds)) * SECOND_NS))
    this.#line = context.interruptLine(this.#options.irq ?? 8)
    this.#timer = context.timer(() => this.#update())
    const ports: SynchronousRangeHandler = {
      // The index register is write-only.
      read: (offset: number): number => (offset === 0 ? 0xff : this.#readRegister(this.#r.index)),
      write: (offset: number, _size: AccessSize, value: number): void => {
        if (offset === 0) {
          this.#r.index = value & 0x7f
          this.#r.nmiMasked = (value & 0x80) !== 0
        } else {
          this.#writeRegister(this.#r.index, value)
        }
      },
    }
    context.mapPorts(PORT_INDEX, 2, ports, { maximumAccess: 1 })
    this.#r.seenPeriods = this.#periods()
    this.#update()
  }

  /** Disconnects the clock from its interrupt line, or connects it again. */
  suppressInterrupt(suppressed: boolean): void {
    this.#r.suppressed = suppressed
    this.#update()
  }

  #regA(): number {
    return this.#cmos[REG_A]!
  }

  #regB(): number {
    return this.#cmos[REG_B]!
  }

  /** Nanoseconds since the base, which may move on first. */
  #elapsed(): number {
    if (this.#context === null) return 0
    this.#context.clock.read(this.#now)
    let elapsed = this.#now.since(this.#base)
    while (elapsed >= STEP_SECONDS * SECOND_NS) {
      this.#base.add(STEP_SECONDS * SECOND_NS)
      if (this.#running()) this.#r.baseSeconds += STEP_SECONDS
      elapsed = this.#now.since(this.#base)
    }
    return elapsed
  }

  #originMoved(ticks: number): void {
    const period = this.#periodTicks()
    if (period === 0) return
    if (ticks / period > this.#r.seenPeriods) this.#r.flags |= C_PF
    this.#r.seenPeriods = 0
  }

  /** Whether seconds pass: the divider runs and SET is clear. */
  #running(): boolean {
    return (this.#regA() & A_DIVIDER) === A_DIVIDER_32768 && (this.#regB() & B_SET) === 0
  }

  #seconds(elapsed: number): number {
    return this.#running() ? this.#r.baseSeconds + Math.floor(elapsed / SECOND_NS) : this.#r.baseSeconds
  }

  /** Periods of the periodic interrupt since the origin of the ticks; 0 while it is off. */
  #periods(): number {
    const period = this.#periodTicks()
    return period === 0 ? 0 : Math.floor(this.#ticks.now() / period)
  }

  /** Length of the periodic interrupt's period in ticks of 32.768 kHz, 0 for none. */
  #periodTicks(): number {
    const rate = this.#regA() & A_RATE
    if (rate === 0 || (this.#regA() & A_DIVIDER) !== A_DIVIDER_32768) return 0
    // Rates 1 and 2 repeat 8 and 9 when the time base is 32.768 kHz.
    return 1 << (rate < 3 ? rate + 6 : rate - 1)
  }

  /** The time that the clock shows is given, and known to the guest. */
  #refer(shown: number): void {
    const wall = this.#options.wallClock?.()
    this.#r.reference = wall === undefined ? null : { shown, wall }
    this.#r.absence = 0
    this.#r.hiddenUntil = null
  }

  /** Sets the clock going from the time registers; the base moves on by `ns`, to the begin of their second. */
  #thaw(ns: number): void {
    this.#r.baseSeconds = this.#time.read()
    this.#base.add(ns)
    this.#r.seenSeconds = this.#r.baseSeconds
  }

  #readRegister(index: number): number {
    if (this.#r.hiddenUntil !== null) this.#advance()
    const elapsed = this.#elapsed()
    if (isTime(index)) {
      if (this.#running()) this.#time.write(this.#seconds(elapsed))
      return this.#cmos[index]!
    }
    switch (index) {
      case REG_A: {
        // The update ends where the next second begins.
        const into = elapsed % SECOND_NS
        return this.#regA() | (this.#running() && into >= SECOND_NS - UIP_NS ? A_UIP : 0)
      }
      case REG_C: {
        this.#advance()
        const flags = this.#r.flags | (this.#interrupting() ? C_IRQF : 0)
        this.#r.flags = 0
        // The next period may have ended since: that needs another edge.
        this.#line?.set(false)
        this.#update()
        return flags
      }
      case REG_D:
        return D_VRT | this.#cmos[REG_D]!
      default:
        return this.#cmos[index]!
    }
  }

  #writeRegister(index: number, value: number): void {
    this.#advance()
    const elapsed = this.#elapsed()
    const wasRunning = this.#running()
    if (isTime(index)) {
      if (wasRunning) {
        this.#time.write(this.#seconds(elapsed))
        this.#cmos[index] = value
        // The divider is not touched: the second ends when it would have ended.
        this.#thaw(elapsed - (elapsed % SECOND_NS))
        this.#refer(this.#r.baseSeconds + (elapsed % SECOND_NS) / SECOND_NS)
      } else {
        this.#cmos[index] = value
      }
    } else if (index === REG_A || index === REG_B) {
      this.#writeControl(index, value, elapsed, wasRunning)
    } else if (index === REG_D) {
      this.#cmos[REG_D] = value & DAY_ALARM_BITS
    } else if (index !== REG_C) {
      this.#cmos[index] = value
    }
    this.#update()
  }

  #writeControl(index: number, value: number, elapsed: number, wasRunning: boolean): void {
    const cmos = this.#cmos
    // Time registers keep the displayed time; the data mode only changes later reads.
    if (wasRunning) this.#time.write(this.#seconds(elapsed))
    const dividerWas = this.#regA() & A_DIVIDER
    if (index === REG_A) cmos[REG_A] = value & ~A_UIP
    else {
      cmos[REG_B] = value
      // "When SET goes to 1, UIE is cleared."
      if ((value & B_SET) !== 0) cmos[REG_B] = value & ~B_UIE
    }
    if (this.#running()) {
      if (!wasRunning) {
        // The first update comes half a second after the divider's reset ends; clearing SET leaves its phase alone.
        const phase = dividerWas === A_DIVIDER_32768 ? elapsed % SECOND_NS : SECOND_NS / 2
        this.#thaw(elapsed - phase)
        this.#refer(this.#r.baseSeconds + phase / SECOND_NS)
      } else if (index === REG_B) {
        this.#thaw(elapsed - (elapsed % SECOND_NS))
      }
    }
    this.#r.seenPeriods = this.#periods()
  }

  #interrupting(): boolean {
    // Flags C_PF, C_AF and C_UF stand where B_PIE, B_AIE and B_UIE do.
    return (this.#r.flags & this.#regB() & (B_PIE | B_AIE | B_UIE)) !== 0
  }

  /** Sets the flags of events since the last look. */
  #advance(): void {
    let seconds = this.#seconds(this.#elapsed())
    if (this.#r.hiddenUntil !== null && seconds > this.#r.hiddenUntil) {
      this.#showAbsence()
      seconds = this.#seconds(this.#elapsed())
    }
    if (seconds > this.#r.seenSeconds) {
      this.#r.flags |= C_UF
      if (this.#time.alarmDistance(this.#r.seenSeconds) <= seconds - this.#r.seenSeconds) this.#alarm()
      this.#r.seenSeconds = seconds
    }
    const periods = this.#periods()
    if (periods > this.#r.seenPeriods) this.#r.flags |= C_PF
    this.#r.seenPeriods = periods
  }

  #alarm(): void {
    const isNew = (this.#r.flags & C_AF) === 0
    this.#r.flags |= C_AF
    if (isNew && (this.#regB() & B_AIE) !== 0) this.#options.onAlarm?.()
  }

  #update(): void {
    this.#advance()
    const line = this.#line
    const timer = this.#timer
    const regB = this.#regB()
    if (line === null || timer === null) return
    line.set(!this.#r.suppressed && this.#interrupting())
    // A flagged interrupt needs no timer: its line stays up until register C is read.
    const wanted = regB & ~this.#r.flags
    // The ticks below count from the base.
    let next = Infinity
    if ((wanted & B_PIE) !== 0 && this.#periodTicks() !== 0)
      next = this.#ticks.nanosecondsUntil((this.#r.seenPeriods + 1) * this.#periodTicks(), this.#base)
    if (this.#running()) {
      const beginning = (this.#r.seenSeconds - this.#r.baseSeconds) * SECOND_NS
      if ((wanted & B_UIE) !== 0) next = Math.min(next, beginning + SECOND_NS)
      if ((wanted & B_AIE) !== 0)
        next = Math.min(next, beginning + this.#time.alarmDistance(this.#r.seenSeconds) * SECOND_NS)
    }
    if (next === Infinity) timer.cancel()
    else timer.armAfter(next, this.#base)
  }

  /** The reset pin: interrupts off. Time, alarm and RAM live on the battery, and AIE while the machine sleeps. */
  override reset(): void {
    this.#advance()
    const asleep = this.#options.isAsleep?.() === true
    if (this.#r.hiddenUntil !== null) this.#showAbsence()
    this.#cmos[REG_B] = this.#regB() & ~(B_PIE | B_UIE | (asleep ? 0 : B_AIE))
    if (asleep) this.#cmos[REG_SHUTDOWN] = SHUTDOWN_S3
    this.#r.flags = 0
    this.#r.index = 0
    this.#r.nmiMasked = false
    this.#r.suppressed = false
    this.#update()
  }

  /**
   * Shows the time as if the clock had not been restored later than it was saved, until the machine sleeps, or for a minute. A
   * system that wakes from sleep adds the time that has passed on this clock to its own: so it catches up with the absence.
   * There may be little to hide, or nothing: the clock still follows the host's time. A clock that follows no host hides
   * nothing.
   */
  hideAbsence(): void {
    if (this.#r.reference === null || this.#r.hiddenUntil !== null || !this.#running()) return
    this.#advance()
    this.#r.baseSeconds -= this.#r.absence
    this.#r.seenSeconds -= this.#r.absence
    this.#r.hiddenUntil = this.#r.seenSeconds + HIDDEN_SECONDS
    this.#update()
  }

  /**
   * Adds the whole absence. The clock showed whole seconds of the host's when the machine was powered on, and systems that wake
   * read whole seconds: seconds begin in the middle of the host's, so that the time read is half a second wrong at most.
   */
  #showAbsence(): void {
    const wall = this.#options.wallClock?.() ?? 0
    const { shown = 0, wall: then = 0 } = this.#r.reference ?? {}
    const phase = (wall + 0.5) % 1
    const now = Math.ceil(shown + (wall - then) + 0.5 - phase - ROUNDING_SECONDS) + phase
    this.#r.baseSeconds = Math.floor(now)
    this.#base.add(Math.round(this.#elapsed() - phase * SECOND_NS))
    this.#refer(now)
  }

  /** Moves the clock by this many seconds; one that stands still keeps what the guest has set. An alarm in between does not come. */
  timeOffset(seconds: number): void {
    if (!this.#running()) return
    this.#advance()
    this.#r.baseSeconds += Math.trunc(seconds)
    this.#r.seenSeconds += Math.trunc(seconds)
    this.#refer(this.#r.baseSeconds + this.#elapsed() / SECOND_NS)
    this.#update()
  }

  /** Returns the state as plain data. */
  override save(): PlainState {
    this.#advance()
    return super.save()
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for one that does not fit. */
  override restore(state: unknown): void {
    super.restore(state)
    this.#r.index &= 0x7f
    this.#catchUp(this.#savedAt)
    this.#update()
  }

  /** Adds the time that has passed on the host's wall clock since then; an alarm in between is noticed. */
  #catchUp(savedAt: number | null): void {
    const now = this.#options.wallClock?.()
    if (now === undefined || savedAt === null || !this.#running()) return
    const passed = Math.round(now - savedAt)
    this.#r.absence += passed
    // A gap that was hidden when the clock was saved stays hidden.
    if (this.#r.hiddenUntil !== null) return
    this.#r.baseSeconds += passed
    // The host's clock may have been set back: no second is waited for twice.
    if (passed < 0) this.#r.seenSeconds += passed
  }
}
