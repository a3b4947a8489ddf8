import { type DeviceContext, Stateful, type Timer } from '@retrap/device'

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §13.4.17 to §13.4.21, "Interrupt …
 * Register", "Interrupt Throttling Register"; §13.4.30, "Receive Interrupt Delay Timer".
 */

const THROTTLE_UNIT_NS = 256
const DELAY_UNIT_NS = 1024

/** Causes, their mask, and the time between two interrupts. */
export class Interrupts extends Stateful {
  readonly #pin: (level: boolean) => void
  /** Minimum interval between two interrupts, in units of 256 ns; 0: no limit. */
  readonly #interval: () => number
  /** Armed while the next interrupt has to wait. */
  readonly #closed: Timer
  readonly #r = this.keeps(
    { causes: 0, enabled: 0, asserted: false, closedUntil: () => this.#closed },
    { lasting: ['asserted'] },
  )

  constructor(context: DeviceContext, pin: (level: boolean) => void, interval: () => number) {
    super()
    this.#pin = pin
    this.#interval = interval
    this.#closed = context.timer(() => this.#update())
  }

  get enabled(): number {
    return this.#r.enabled
  }

  /** Reports causes. */
  raise(causes: number): void {
    this.#r.causes |= causes
    this.#update()
  }

  /** Reads ICR, which clears it. */
  take(): number {
    const causes = this.#r.causes
    this.#r.causes = 0
    this.#update()
    return causes
  }

  /** Writes ICR: one bits clear interrupt causes. */
  clear(causes: number): void {
    this.#r.causes &= ~causes
    this.#update()
  }

  enable(causes: number): void {
    this.#r.enabled |= causes
    this.#update()
  }

  disable(causes: number): void {
    this.#r.enabled &= ~causes
    this.#update()
  }

  #update(): void {
    const wanted = (this.#r.causes & this.#r.enabled) !== 0
    if (wanted === this.#r.asserted) return
    if (wanted) {
      if (this.#closed.deadlineNs !== Infinity) return
      const interval = this.#interval()
      if (interval > 0) this.#closed.armAfter(interval * THROTTLE_UNIT_NS)
    }
    this.#r.asserted = wanted
    this.#pin(wanted)
  }

  override reset(): void {
    super.reset()
    this.#update()
  }
}

/** A cause that is reported once nothing has followed for a while, or at the latest some time after its first reason. */
export class DelayedCause extends Stateful {
  readonly #packet: Timer
  readonly #absolute: Timer
  readonly #report: () => void

  constructor(context: DeviceContext, report: () => void) {
    super()
    this.#report = report
    this.#packet = context.timer(() => this.now())
    this.#absolute = context.timer(() => this.now())
    this.keeps({ packet: this.#packet, absolute: this.#absolute })
  }

  /**
   * A reason to report.
   *
   * @param delay - 1.024 µs units; 0: at once
   * @param latest - longest delay since the first reason; 0: no limit
   */
  start(delay: number, latest: number): void {
    if (delay === 0) {
      this.now()
      return
    }
    this.#packet.armAfter(delay * DELAY_UNIT_NS)
    if (latest > 0 && this.#absolute.deadlineNs === Infinity) this.#absolute.armAfter(latest * DELAY_UNIT_NS)
  }

  /** Reports at once. */
  now(): void {
    this.cancel()
    this.#report()
  }

  /** Forgets its reasons. */
  cancel(): void {
    this.#packet.cancel()
    this.#absolute.cancel()
  }
}
