/** A date and time of day of the proleptic Gregorian calendar. */
export interface CivilTime {
  year: number
  /** 1 … 12. */
  month: number
  /** 1 … 31. */
  day: number
  hour: number
  minute: number
  second: number
  /** 0 is Sunday. */
  weekday: number
}

const SECONDS_PER_DAY = 86_400
const DAYS_PER_ERA = 146_097
/** Days from 0000-03-01, where an era begins, to 1970-01-01. */
const EPOCH_SHIFT = 719_468

/** Days from 1970-01-01 to a date. Months and days out of range carry over, as a calendar that runs on would have it. */
function daysFromCivil(year: number, month: number, day: number): number {
  const monthIndex = month - 1
  const y = year + Math.floor(monthIndex / 12)
  const m = (((monthIndex % 12) + 12) % 12) + 1
  // Years run from March, so that the leap day is a year's last.
  const marchYear = m > 2 ? y : y - 1
  const era = Math.floor(marchYear / 400)
  const yearOfEra = marchYear - era * 400
  const dayOfYear = Math.floor((153 * (m > 2 ? m - 3 : m + 9) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * DAYS_PER_ERA + dayOfEra - EPOCH_SHIFT
}

/** Seconds from 1970-01-01T00:00:00 to a date and time. */
export function secondsFromCivil(time: Readonly<CivilTime>): number {
  return (
    daysFromCivil(time.year, time.month, time.day) * SECONDS_PER_DAY + time.hour * 3600 + time.minute * 60 + time.second
  )
}

/** The date and time `seconds` after 1970-01-01T00:00:00, into `into`. */
export function civilFromSeconds(seconds: number, into: CivilTime): void {
  const days = Math.floor(seconds / SECONDS_PER_DAY)
  const rest = seconds - days * SECONDS_PER_DAY
  const shifted = days + EPOCH_SHIFT
  const era = Math.floor(shifted / DAYS_PER_ERA)
  const dayOfEra = shifted - era * DAYS_PER_ERA
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / (DAYS_PER_ERA - 1))) /
      365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153)
  into.day = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1
  into.month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
  into.year = yearOfEra + era * 400 + (into.month <= 2 ? 1 : 0)
  into.hour = Math.floor(rest / 3600)
  into.minute = Math.floor(rest / 60) % 60
  into.second = rest % 60
  into.weekday = (((days + 4) % 7) + 7) % 7
}

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
/** Register B: how the registers are coded, and interrupt enables. */
export const REG_B = 11
/** Day of the month of the alarm in its low bits, 0 for every day (Intel 82371AB, "Register D"). */
export const DAY_ALARM = 13
export const DAY_ALARM_BITS = 0x3f
/** A day that some months lack comes within this many. */
const DAYS_TO_SEARCH = 64
/** CMOS byte that holds the century, as the FADT says. */
export const CMOS_CENTURY = 0x32

const B_BINARY = 0x04
/** Register B: hours run from 0 to 23. */
export const B_24H = 0x02
const HOUR_PM = 0x80
/** An alarm byte with its two top bits set matches everything. */
const ALARM_ANY = 0xc0

/** Whether a CMOS byte is part of the time of day or of the date. */
export const isTime = (index: number): boolean =>
  index === CMOS_CENTURY ||
  index === SECONDS ||
  index === MINUTES ||
  index === HOURS ||
  (index >= WEEKDAY && index <= YEAR)

/**
 * Time, date and alarm as the registers of an MC146818 hold them: binary or BCD, 12 or 24 hours, as register B says.
 *
 * Source: Motorola MC146818 data sheet, "Time, Calendar, and Alarm Locations".
 */
export class RtcTime {
  readonly #cmos: Uint8Array
  readonly #civil: CivilTime = { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, weekday: 4 }
  /** The weekday register minus the calendar's weekday. */
  weekdayShift = 0

  /** @param cmos - the registers, which it reads and writes in place */
  constructor(cmos: Uint8Array) {
    this.#cmos = cmos
  }

  /** Writes a time into the registers, in seconds since 1970. */
  write(seconds: number): void {
    const civil = this.#civil
    const cmos = this.#cmos
    civilFromSeconds(seconds, civil)
    cmos[SECONDS] = this.#encode(civil.second)
    cmos[MINUTES] = this.#encode(civil.minute)
    cmos[HOURS] = this.#encodeHour(civil.hour)
    cmos[WEEKDAY] = this.#encode(((civil.weekday + this.weekdayShift) % 7) + 1)
    cmos[DAY] = this.#encode(civil.day)
    cmos[MONTH] = this.#encode(civil.month)
    cmos[YEAR] = this.#encode(civil.year % 100)
    cmos[CMOS_CENTURY] = this.#encode(Math.floor(civil.year / 100) % 100)
  }

  /** Reads the time that the registers hold, and how their weekday differs from the calendar's. @returns seconds since 1970 */
  read(): number {
    const civil = this.#civil
    const cmos = this.#cmos
    const field = (index: number): number => this.#decode(cmos[index]!)
    civil.year = field(CMOS_CENTURY) * 100 + field(YEAR)
    civil.month = field(MONTH)
    civil.day = field(DAY)
    civil.hour = this.#decodeHour(cmos[HOURS]!)
    civil.minute = field(MINUTES)
    civil.second = field(SECONDS)
    const seconds = secondsFromCivil(civil)
    const shown = field(WEEKDAY) - 1
    civilFromSeconds(seconds, civil)
    this.weekdayShift = (((shown - civil.weekday) % 7) + 7) % 7
    return seconds
  }

  /** Seconds from `seconds` to the next alarm, at least 1; Infinity if the alarm registers name no time. */
  alarmDistance(seconds: number): number {
    const day = this.#decode(this.#cmos[DAY_ALARM]! & DAY_ALARM_BITS)
    if (day === 0) return this.#timeDistance(seconds)
    let from = seconds
    for (let days = 0; days < DAYS_TO_SEARCH; days++) {
      const at = from + this.#timeDistance(from)
      if (at === Infinity) return at
      civilFromSeconds(at, this.#civil)
      if (this.#civil.day === day) return at - seconds
      // The last second of this day: the search continues with the next day.
      from = (Math.floor(at / SECONDS_PER_DAY) + 1) * SECONDS_PER_DAY - 1
    }
    return Infinity
  }

  /** {@link alarmDistance} on any day. */
  #timeDistance(seconds: number): number {
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

  #encode(value: number): number {
    return (this.#cmos[REG_B]! & B_BINARY) === 0 ? (Math.floor(value / 10) << 4) | (value % 10) : value
  }

  #decode(value: number): number {
    return (this.#cmos[REG_B]! & B_BINARY) === 0 ? (value >> 4) * 10 + (value & 15) : value
  }

  #encodeHour(hour: number): number {
    if ((this.#cmos[REG_B]! & B_24H) !== 0) return this.#encode(hour)
    const twelve = hour % 12 === 0 ? 12 : hour % 12
    return this.#encode(twelve) | (hour >= 12 ? HOUR_PM : 0)
  }

  #decodeHour(value: number): number {
    if ((this.#cmos[REG_B]! & B_24H) !== 0) return this.#decode(value)
    return (this.#decode(value & ~HOUR_PM) % 12) + ((value & HOUR_PM) === 0 ? 0 : 12)
  }
}
