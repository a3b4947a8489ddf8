import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  savedState,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { civilFromSeconds, secondsFromCivil, SECONDS_PER_DAY, type CivilTime } from './calendar.ts'
import { fillCmos, type CmosConfiguration } from './cmos-layout.ts'
import type { LegacyInterruptSource } from './i8254.ts'
import { RTC_RATE } from './tick-rate.ts'

const PORT_INDEX = 0x70
const CMOS_BYTES = 128

const SECONDS = 0
const SECONDS_ALARM = 1
const MINUTES = 2
const MINUTES_ALARM = 3
const HOURS = 4
const HOURS_ALARM = 5
const WEEKDAY = 6
const DAY = 7
const MONTH = 8
const YEAR = 9
const REG_A = 10
const REG_B = 11
const REG_C = 12
const REG_D = 13
/** CMOS byte that holds the century, as the FADT says. */
export const CMOS_CENTURY = 0x32

const A_UIP = 0x80
const A_DIVIDER = 0x70
const A_DIVIDER_32768 = 0x20
const A_RATE = 0x0f
const B_SET = 0x80
const B_PIE = 0x40
const B_AIE = 0x20
const B_UIE = 0x10
const B_BINARY = 0x04
const B_24H = 0x02
const C_IRQF = 0x80
const C_PF = 0x40
const C_AF = 0x20
const C_UF = 0x10
const D_VRT = 0x80
const HOUR_PM = 0x80
/** An alarm byte with its two top bits set matches everything. */
const ALARM_ANY = 0xc0

const SECOND_NS = 1_000_000_000
/** UIP rises 244 µs before the update, which takes 1984 µs at 32.768 kHz. */
const UIP_NS = 244_000 + 1_984_000

/** Options of {@link Mc146818}. */
export interface Mc146818Options extends CmosConfiguration {
  /** Wall-clock time at power-on in seconds from 1970-01-01, in the zone that the clock keeps (UTC, usually). */
  readonly epochSeconds: number
  /** ISA line; default 8. */
  readonly irq?: number
}

/** Saved form of an {@link Mc146818}. */
export interface Mc146818State {
  /** Layout of the state. */
  readonly version: 1
  /** Selected register. */
  readonly index: number
  /** Bit 7 of port 0x70. */
  readonly nmiMasked: boolean
  /** All 128 registers as bytes. */
  readonly cmos: readonly number[]
  /** Seconds since 1970 that the clock showed at `baseNs`. */
  readonly baseSeconds: number
  /** Virtual time at which that second began, in nanoseconds. */
  readonly baseNs: number
  /** The weekday register minus the calendar’s weekday. */
  readonly weekdayShift: number
  /** Register C without IRQF. */
  readonly flags: number
  /** Second up to which alarm and update flags were taken. */
  readonly seenSeconds: number
  /** Period up to which the periodic flag was taken. */
  readonly seenPeriods: number
  /** Whether an HPET has taken over the interrupt. */
  readonly suppressed: boolean
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
export class Mc146818 implements DeviceModel, LegacyInterruptSource {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'mc146818'
  readonly #options: Mc146818Options
  /** All registers. Of the time registers only the alarms are always current; see `freeze`. */
  readonly #cmos = new Uint8Array(CMOS_BYTES)
  #index = 0
  #nmi = false
  /** Seconds since 1970 that the clock showed at `baseNs`, the beginning of that second. */
  #baseSeconds: number
  #baseNs = 0
  /** What the weekday register shows minus the calendar's weekday. */
  #weekdayShift = 0
  #flags = 0
  /** Second and periodic tick up to which flags were taken. */
  #seenSeconds = 0
  #seenPeriods = 0
  #suppressed = false
  readonly #civil: CivilTime = { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, weekday: 4 }
  #context: DeviceContext | null = null
  #line: InterruptLine | null = null
  #timer: Timer | null = null

  constructor(options: Mc146818Options) {
    if (!Number.isFinite(options.epochSeconds))
      throw new DeviceError('ERR_OPTION', `mc146818: epochSeconds ${options.epochSeconds}: expected a finite number`)
    if (!Number.isInteger(options.cpus) || options.cpus < 1)
      throw new DeviceError('ERR_OPTION', `mc146818: ${options.cpus} cpus: expected at least 1`)
    this.#options = options
    this.#baseSeconds = Math.floor(options.epochSeconds)
    this.#baseNs = 0 - Math.floor((options.epochSeconds - this.#baseSeconds) * SECOND_NS)
    fillCmos(this.#cmos, options)
    this.#cmos[REG_A] = A_DIVIDER_32768 | 6
    this.#cmos[REG_B] = B_24H
    this.#cmos[REG_D] = D_VRT
    this.#seenSeconds = this.#baseSeconds
  }

  /** Whether the guest has masked NMIs through bit 7 of port 0x70. */
  get nmiMasked(): boolean {
    return this.#nmi
  }

  /** Claims ports 0x70 and 0x71 and takes the interrupt line. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#line = context.interruptLine(this.#options.irq ?? 8)
    this.#timer = context.timer(() => this.#update())
    const ports: SynchronousRangeHandler = {
      // The index register is write-only.
      read: (offset: number): number => (offset === 0 ? 0xff : this.#readRegister(this.#index)),
      write: (offset: number, _size: AccessSize, value: number): void => {
        if (offset === 0) {
          this.#index = value & 0x7f
          this.#nmi = (value & 0x80) !== 0
        } else {
          this.#writeRegister(this.#index, value)
        }
      },
    }
    context.mapPorts(PORT_INDEX, 2, ports, { maximumAccess: 1 })
    this.#seenPeriods = this.#periods()
    this.#update()
  }

  /** Cuts the clock off from its line, or connects it again. */
  suppressInterrupt(suppressed: boolean): void {
    this.#suppressed = suppressed
    this.#update()
  }

  #regA(): number {
    return this.#cmos[REG_A]!
  }

  #regB(): number {
    return this.#cmos[REG_B]!
  }

  #now(): number {
    return this.#context === null ? 0 : this.#context.clock.now()
  }

  /** Whether seconds pass: the divider runs and SET is clear. */
  #running(): boolean {
    return (this.#regA() & A_DIVIDER) === A_DIVIDER_32768 && (this.#regB() & B_SET) === 0
  }

  #seconds(now: number): number {
    return this.#running() ? this.#baseSeconds + Math.floor((now - this.#baseNs) / SECOND_NS) : this.#baseSeconds
  }

  /** Periods of the periodic interrupt since power-on; 0 while it is off. */
  #periods(): number {
    const ticks = this.#periodTicks()
    return ticks === 0 ? 0 : Math.floor(RTC_RATE.ticksAt(this.#now()) / ticks)
  }

  /** Length of the periodic interrupt's period in ticks of 32.768 kHz, 0 for none. */
  #periodTicks(): number {
    const rate = this.#regA() & A_RATE
    if (rate === 0 || (this.#regA() & A_DIVIDER) !== A_DIVIDER_32768) return 0
    // Rates 1 and 2 repeat 8 and 9 when the time base is 32.768 kHz.
    return 1 << (rate < 3 ? rate + 6 : rate - 1)
  }

  #encode(value: number): number {
    return (this.#regB() & B_BINARY) === 0 ? (Math.floor(value / 10) << 4) | (value % 10) : value
  }

  #decode(value: number): number {
    return (this.#regB() & B_BINARY) === 0 ? (value >> 4) * 10 + (value & 15) : value
  }

  #encodeHour(hour: number): number {
    if ((this.#regB() & B_24H) !== 0) return this.#encode(hour)
    const twelve = hour % 12 === 0 ? 12 : hour % 12
    return this.#encode(twelve) | (hour >= 12 ? HOUR_PM : 0)
  }

  #decodeHour(value: number): number {
    if ((this.#regB() & B_24H) !== 0) return this.#decode(value)
    return (this.#decode(value & ~HOUR_PM) % 12) + ((value & HOUR_PM) === 0 ? 0 : 12)
  }

  /** Writes the current time into the time registers. */
  #freeze(now: number): void {
    const civil = this.#civil
    const cmos = this.#cmos
    civilFromSeconds(this.#seconds(now), civil)
    cmos[SECONDS] = this.#encode(civil.second)
    cmos[MINUTES] = this.#encode(civil.minute)
    cmos[HOURS] = this.#encodeHour(civil.hour)
    cmos[WEEKDAY] = this.#encode(((civil.weekday + this.#weekdayShift) % 7) + 1)
    cmos[DAY] = this.#encode(civil.day)
    cmos[MONTH] = this.#encode(civil.month)
    cmos[YEAR] = this.#encode(civil.year % 100)
    cmos[CMOS_CENTURY] = this.#encode(Math.floor(civil.year / 100) % 100)
  }

  /** Sets the clock going from the time registers; the second begins at `baseNs`. */
  #thaw(baseNs: number): void {
    const civil = this.#civil
    const cmos = this.#cmos
    const field = (index: number): number => this.#decode(cmos[index]!)
    civil.year = field(CMOS_CENTURY) * 100 + field(YEAR)
    civil.month = field(MONTH)
    civil.day = field(DAY)
    civil.hour = this.#decodeHour(cmos[HOURS]!)
    civil.minute = field(MINUTES)
    civil.second = field(SECONDS)
    this.#baseSeconds = secondsFromCivil(civil)
    this.#baseNs = baseNs
    const shown = field(WEEKDAY) - 1
    civilFromSeconds(this.#baseSeconds, civil)
    this.#weekdayShift = (((shown - civil.weekday) % 7) + 7) % 7
    this.#seenSeconds = this.#baseSeconds
  }

  #readRegister(index: number): number {
    const now = this.#now()
    if (isTime(index)) {
      if (this.#running()) this.#freeze(now)
      return this.#cmos[index]!
    }
    switch (index) {
      case REG_A: {
        // The update ends where the next second begins.
        const into = (now - this.#baseNs) % SECOND_NS
        return this.#regA() | (this.#running() && into >= SECOND_NS - UIP_NS ? A_UIP : 0)
      }
      case REG_C: {
        this.#advance()
        const flags = this.#flags | (this.#interrupting() ? C_IRQF : 0)
        this.#flags = 0
        this.#update()
        return flags
      }
      case REG_D:
        return D_VRT
      default:
        return this.#cmos[index]!
    }
  }

  #writeRegister(index: number, value: number): void {
    this.#advance()
    const now = this.#now()
    const wasRunning = this.#running()
    if (isTime(index)) {
      if (wasRunning) {
        this.#freeze(now)
        this.#cmos[index] = value
        // The divider is not touched: the second ends when it would have ended.
        this.#thaw(now - ((now - this.#baseNs) % SECOND_NS))
      } else {
        this.#cmos[index] = value
      }
    } else if (index === REG_A || index === REG_B) {
      this.#writeControl(index, value, now, wasRunning)
    } else if (index !== REG_C && index !== REG_D) {
      this.#cmos[index] = value
    }
    this.#update()
  }

  #writeControl(index: number, value: number, now: number, wasRunning: boolean): void {
    const cmos = this.#cmos
    // Time registers keep what they show; the data mode only changes how they are read from then on.
    if (wasRunning) this.#freeze(now)
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
        const phase =
          dividerWas === A_DIVIDER_32768 ? (((now - this.#baseNs) % SECOND_NS) + SECOND_NS) % SECOND_NS : SECOND_NS / 2
        this.#thaw(now - phase)
      } else if (index === REG_B) {
        this.#thaw(now - ((now - this.#baseNs) % SECOND_NS))
      }
    }
    this.#seenPeriods = this.#periods()
  }

  #interrupting(): boolean {
    // Flags C_PF, C_AF and C_UF stand where B_PIE, B_AIE and B_UIE do.
    return (this.#flags & this.#regB() & (B_PIE | B_AIE | B_UIE)) !== 0
  }

  /** Takes the flags of what has happened since the last look. */
  #advance(): void {
    const seconds = this.#seconds(this.#now())
    if (seconds > this.#seenSeconds) {
      this.#flags |= C_UF
      if (this.#alarmDistance(this.#seenSeconds) <= seconds - this.#seenSeconds) this.#flags |= C_AF
      this.#seenSeconds = seconds
    }
    const periods = this.#periods()
    if (periods > this.#seenPeriods) this.#flags |= C_PF
    this.#seenPeriods = periods
  }

  /** Seconds from `seconds` to the next alarm, at least 1; Infinity if the alarm registers name no time. */
  #alarmDistance(seconds: number): number {
    const [hours, minutes, secs] = [HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM].map((index) => {
      const raw = this.#cmos[index]!
      if ((raw & ALARM_ANY) === ALARM_ANY) return -1
      return index === HOURS_ALARM ? this.#decodeHour(raw) : this.#decode(raw)
    }) as [number, number, number]
    const start = (((seconds + 1) % SECONDS_PER_DAY) + SECONDS_PER_DAY) % SECONDS_PER_DAY
    let at = start
    // At most a day of hours, then an hour of minutes, then a minute of seconds.
    for (let guard = 0; guard < 24 + 60 + 60 + 3; guard++) {
      const inDay = at % SECONDS_PER_DAY
      if (hours >= 0 && Math.floor(inDay / 3600) !== hours) at += 3600 - (inDay % 3600)
      else if (minutes >= 0 && Math.floor(inDay / 60) % 60 !== minutes) at += 60 - (inDay % 60)
      else if (secs >= 0 && inDay % 60 !== secs) at += 1
      else return at - start + 1
    }
    return Infinity
  }

  #update(): void {
    this.#advance()
    const line = this.#line
    const timer = this.#timer
    const regB = this.#regB()
    if (line === null || timer === null) return
    line.set(!this.#suppressed && this.#interrupting())
    // What is flagged already needs no timer: its line stays up until register C is read.
    const wanted = regB & ~this.#flags
    let next = Infinity
    if ((wanted & B_PIE) !== 0 && this.#periodTicks() !== 0)
      next = RTC_RATE.nanosecondsAt((this.#seenPeriods + 1) * this.#periodTicks())
    if (this.#running()) {
      const beginning = this.#baseNs + (this.#seenSeconds - this.#baseSeconds) * SECOND_NS
      if ((wanted & B_UIE) !== 0) next = Math.min(next, beginning + SECOND_NS)
      if ((wanted & B_AIE) !== 0) next = Math.min(next, beginning + this.#alarmDistance(this.#seenSeconds) * SECOND_NS)
    }
    if (next === Infinity) timer.cancel()
    else timer.arm(next)
  }

  /** The reset pin: interrupts off. Time, alarm and RAM live on the battery. */
  reset(): void {
    this.#advance()
    this.#cmos[REG_B] = this.#regB() & ~(B_PIE | B_AIE | B_UIE)
    this.#flags = 0
    this.#index = 0
    this.#nmi = false
    this.#suppressed = false
    this.#update()
  }

  /** Returns the state as plain data. */
  save(): Mc146818State {
    this.#advance()
    return {
      version: 1,
      index: this.#index,
      nmiMasked: this.#nmi,
      cmos: [...this.#cmos],
      baseSeconds: this.#baseSeconds,
      baseNs: this.#baseNs,
      weekdayShift: this.#weekdayShift,
      flags: this.#flags,
      seenSeconds: this.#seenSeconds,
      seenPeriods: this.#seenPeriods,
      suppressed: this.#suppressed,
    }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const saved = savedState<Mc146818State>(this.name, state, 1)
    this.#index = saved.index
    this.#nmi = saved.nmiMasked
    this.#cmos.set(saved.cmos)
    this.#baseSeconds = saved.baseSeconds
    this.#baseNs = saved.baseNs
    this.#weekdayShift = saved.weekdayShift
    this.#flags = saved.flags
    this.#seenSeconds = saved.seenSeconds
    this.#seenPeriods = saved.seenPeriods
    this.#suppressed = saved.suppressed
    this.#update()
  }
}

const isTime = (index: number): boolean =>
  index === CMOS_CENTURY ||
  index === SECONDS ||
  index === MINUTES ||
  index === HOURS ||
  (index >= WEEKDAY && index <= YEAR)
