/**
 * A clock that divides virtual time into ticks: `ticks` of them in every
 * `nanoseconds`. Exact at any time that a number holds, because the whole
 * periods are split off before multiplying. `TickCounter` counts from an origin that moves on.
 */
export class TickRate {
  readonly ticks: number
  readonly nanoseconds: number

  constructor(ticks: number, nanoseconds: number) {
    this.ticks = ticks
    this.nanoseconds = nanoseconds
  }

  /** Ticks completed `ns` nanoseconds after the first began. */
  ticksAt(ns: number): number {
    const periods = Math.floor(ns / this.nanoseconds)
    return periods * this.ticks + Math.floor(((ns - periods * this.nanoseconds) * this.ticks) / this.nanoseconds)
  }

  /** The first whole nanosecond at which `ticks` ticks are completed. */
  nanosecondsAt(ticks: number): number {
    const periods = Math.floor(ticks / this.ticks)
    return periods * this.nanoseconds + Math.ceil(((ticks - periods * this.ticks) * this.nanoseconds) / this.ticks)
  }
}

/** 14.31818 MHz / 12: what counts in an 8254. The crystal is 315/22 MHz, so this is 105/88 MHz. */
export const PIT_RATE: TickRate = new TickRate(105, 88_000)
/** 14.31818 MHz / 4: the ACPI power-management timer, 315/88 MHz. */
export const PM_TIMER_RATE: TickRate = new TickRate(315, 88_000)
/** The 32.768 kHz of a watch crystal. */
export const RTC_RATE: TickRate = new TickRate(4096, 125_000_000)
/** The main counter of an HPET, 100 MHz. */
export const HPET_RATE: TickRate = new TickRate(1, 10)
