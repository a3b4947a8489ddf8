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

export const SECONDS_PER_DAY = 86_400
const DAYS_PER_ERA = 146_097
/** Days from 0000-03-01, where an era begins, to 1970-01-01. */
const EPOCH_SHIFT = 719_468

/** Days from 1970-01-01 to a date. Months and days out of range carry over, as a calendar that runs on would have it. */
export function daysFromCivil(year: number, month: number, day: number): number {
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
