import { Instant, type Clock, type Timer, type Word64 } from '@retrap/device'

/**
 * A clock that divides virtual time into ticks: `ticks` of them in every
 * `nanoseconds`. Exact at any time that a number holds, because the whole
 * periods are split off before multiplying. `TickCounter` counts from an origin that moves on.
 */
class TickRate {
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

/** 14.31818 MHz / 12: the clock of an 8254. The crystal is 315/22 MHz, so this is 105/88 MHz. */
export const PIT_RATE: TickRate = new TickRate(105, 88_000)
/** 14.31818 MHz / 4: the ACPI power-management timer, 315/88 MHz. */
export const PM_TIMER_RATE: TickRate = new TickRate(315, 88_000)
/** The 32.768 kHz of a watch crystal. */
export const RTC_RATE: TickRate = new TickRate(4096, 125_000_000)
/** The main counter of an HPET, 100 MHz. */
export const HPET_RATE: TickRate = new TickRate(1, 10)

/** Longest step of the origin, in nanoseconds (13 days): sums of a few such steps are exact in a number. */
const LONGEST_STEP_NS = 2 ** 50

/**
 * Counts the ticks of a model's clock from an origin, at first the time when the model was attached.
 *
 * The origin moves on with time, by whole steps, so that ticks and nanoseconds since then stay exact in a number for ever.
 * The model's own ticks move with it.
 */
export class TickCounter {
  readonly #rate: TickRate
  readonly #stepTicks: number
  readonly #stepNs: number
  readonly #moved: (ticks: number) => void
  /** The instant of tick 0, to be saved with the model's ticks. */
  readonly origin: Instant = new Instant()
  readonly #now = new Instant()
  #clock: Clock | null = null

  /**
   * @param multiple - the origin advances by multiples of this many ticks, so that a division by them keeps its phase
   * @param moved - called when the origin advances by some ticks: the model first brings itself to that tick, then subtracts
   * the ticks from all its times. It must not read the time meanwhile
   */
  constructor(rate: TickRate, multiple: number, moved: (ticks: number) => void) {
    let divisor = multiple
    for (let rest = rate.ticks; rest !== 0;) [divisor, rest] = [rest, divisor % rest]
    let periods = multiple / divisor
    while (2 * periods * rate.nanoseconds <= LONGEST_STEP_NS) periods *= 2
    this.#rate = rate
    this.#stepTicks = periods * rate.ticks
    this.#stepNs = periods * rate.nanoseconds
    this.#moved = moved
  }

  /** Begins to count. */
  attach(clock: Clock): void {
    this.#clock = clock
    clock.read(this.origin)
  }

  /** Ticks completed since the origin, which may move on first; 0 before `attach`. */
  now(): number {
    const clock = this.#clock
    if (clock === null) return 0
    clock.read(this.#now)
    let ns = this.#now.since(this.origin)
    while (ns >= this.#stepNs) {
      this.#moved(this.#stepTicks)
      this.origin.add(this.#stepNs)
      ns = this.#now.since(this.origin)
    }
    return this.#rate.ticksAt(ns)
  }

  /** Arms a timer for the first nanosecond at which a tick is completed. */
  arm(timer: Timer, tick: number): void {
    timer.armAfter(this.#rate.nanosecondsAt(tick), this.origin)
  }

  /** Nanoseconds from an instant, not far from now, to the first one at which a tick is completed. */
  nanosecondsUntil(tick: number, from: Readonly<Word64>): number {
    return this.origin.since(from) + this.#rate.nanosecondsAt(tick)
  }
}
