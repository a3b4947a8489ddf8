import {
  type DeviceContext,
  restoreDeadline,
  savedDeadline,
  savedRegisters,
  type Timer,
  type Word64,
} from '@retrap/device'

/*
 * Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, §13.4.17 to §13.4.21, "Interrupt …
 * Register", "Interrupt Throttling Register"; §13.4.30, "Receive Interrupt Delay Timer".
 */

const THROTTLE_UNIT_NS = 256
const DELAY_UNIT_NS = 1024

const POWER_ON = { causes: 0, enabled: 0, asserted: false }

/** Saved form of {@link Interrupts}. */
export interface InterruptsState extends Readonly<typeof POWER_ON> {
  readonly closedUntil: Word64 | null
}

/** Causes, their mask, and the time between two interrupts. */
export class Interrupts {
  readonly #pin: (level: boolean) => void
  /** 256 ns units between two interrupts; 0: none. */
  readonly #interval: () => number
  /** Armed while the next interrupt has to wait. */
  readonly #closed: Timer
  #r = { ...POWER_ON }

  constructor(context: DeviceContext, pin: (level: boolean) => void, interval: () => number) {
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

  /** ICR: a read clears it. */
  take(): number {
    const causes = this.#r.causes
    this.#r.causes = 0
    this.#update()
    return causes
  }

  /** ICR: ones that are written clear their bits. */
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

  reset(): void {
    this.#r.causes = 0
    this.#r.enabled = 0
    this.#closed.cancel()
    this.#update()
  }

  save(): InterruptsState {
    return {
      ...this.#r,
      closedUntil: savedDeadline(this.#closed),
    }
  }

  restore(state: InterruptsState): void {
    this.#r = savedRegisters('e1000', state, POWER_ON)
    restoreDeadline(this.#closed, state.closedUntil)
  }
}

/** Saved form of a {@link DelayedCause}. */
export interface DelayedCauseState {
  readonly packet: Word64 | null
  readonly absolute: Word64 | null
}

/** A cause that is reported once nothing has followed for a while, or at the latest some time after its first reason. */
export class DelayedCause {
  readonly #packet: Timer
  readonly #absolute: Timer
  readonly #report: () => void

  constructor(context: DeviceContext, report: () => void) {
    this.#report = report
    this.#packet = context.timer(() => this.now())
    this.#absolute = context.timer(() => this.now())
  }

  /**
   * A reason to report.
   *
   * @param delay - 1.024 µs units; 0: at once
   * @param latest - the same from the first reason on; 0: no limit
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

  save(): DelayedCauseState {
    return { packet: savedDeadline(this.#packet), absolute: savedDeadline(this.#absolute) }
  }

  restore({ packet, absolute }: DelayedCauseState): void {
    restoreDeadline(this.#packet, packet)
    restoreDeadline(this.#absolute, absolute)
  }
}
