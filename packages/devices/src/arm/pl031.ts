import { TWO_32 } from '@retrap/basics'
import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  Instant,
  type InterruptLine,
  Stateful,
  type Timer,
} from '@retrap/device'
import { PRIME_CELL_BYTES, primeCell } from './prime-cell.ts'

// Registers.
const DR = 0x00
const MR = 0x04
const LR = 0x08
const CR = 0x0c
const IMSC = 0x10
const RIS = 0x14
const MIS = 0x18
const ICR = 0x1c

/** Part 0x031 of Arm (0x41), revision 1. */
const PL031_ID = 0x0014_1031
const SECOND_NS = 1_000_000_000
/** The base advances by this many seconds (12 days), so that nanoseconds since the base are exact. */
const STEP_SECONDS = 2 ** 20

/** Options of {@link Pl031}. */
export interface Pl031Options {
  /** Guest-physical address of its 4 KiB of registers. */
  readonly base: number
  /** Interrupt line, as `DeviceContext.interruptLine` counts them. */
  readonly irq: number
  /** Wall-clock time at power-on in seconds from 1970-01-01, UTC. */
  readonly epochSeconds: number
  /**
   * The host's wall clock, in seconds. A restored clock moves on by the time that has passed on the wall clock since it
   * was saved; default: it goes on from the time that it showed.
   */
  readonly wallClock?: () => number
}

/**
 * PL031 real-time clock: a counter of seconds since 1970, with an alarm.
 *
 * The counter runs from power-on, as that of a board whose clock has been set; RTCCR always reads as 1. Time runs from the
 * machine's clock.
 *
 * Source: Arm DDI 0224C, "PrimeCell Real Time Clock (PL031) Technical Reference Manual".
 */
export class Pl031 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'pl031'
  readonly #options: Pl031Options
  readonly #base = new Instant()
  readonly #now = new Instant()
  readonly #r = this.keeps(
    {
      version: 1,
      baseSeconds: 0,
      base: this.#base,
      /** Match, load, interrupt mask and raw interrupt. */
      ...{ mr: 0, lr: 0, imsc: 0, ris: 0 },
      wallSeconds: {
        save: (): number | null => this.#options.wallClock?.() ?? null,
        restore: (seconds?: number | null): void => void (this.#savedAt = seconds ?? null),
      },
    },
    // The counter and its match register are fed by the battery.
    { lasting: ['baseSeconds', 'mr', 'lr'] },
  )
  /** The host's wall clock when the state was saved. */
  #savedAt: number | null = null
  /** Whether the timer is set for the alarm itself, not for an intermediate step. */
  #isDue = false
  #context: DeviceContext | null = null
  #line: InterruptLine | null = null
  #timer: Timer | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: Pl031Options) {
    super()
    if (!Number.isFinite(options.epochSeconds))
      throw new DeviceError('ERR_OPTION', `pl031: epochSeconds ${options.epochSeconds}: expected a finite number`)
    this.#options = options
    this.#r.baseSeconds = Math.floor(options.epochSeconds) >>> 0
  }

  /** Claims the registers and takes the interrupt line. */
  attach(context: DeviceContext): void {
    const { base, irq, epochSeconds } = this.#options
    this.#context = context
    this.#line = context.interruptLine(irq)
    this.#timer = context.timer(() => this.#expired())
    context.clock.read(this.#base)
    this.#base.add(-Math.floor((epochSeconds - Math.floor(epochSeconds)) * SECOND_NS))
    const registers = primeCell(PL031_ID, {
      read: (offset) => this.#read(offset),
      write: (offset, value) => this.#write(offset, value),
    })
    context.mapMmio(base, PRIME_CELL_BYTES, registers)
    this.#armAlarm()
  }

  /** Returns seconds since `base`, and advances `base` if they are many. */
  #elapsed(): number {
    this.#context!.clock.read(this.#now)
    while (this.#now.since(this.#base) >= STEP_SECONDS * SECOND_NS) {
      this.#base.add(STEP_SECONDS * SECOND_NS)
      this.#r.baseSeconds += STEP_SECONDS
    }
    return Math.floor(this.#now.since(this.#base) / SECOND_NS)
  }

  #counter(): number {
    const elapsed = this.#elapsed()
    // The base may have moved on with that look.
    return (this.#r.baseSeconds + elapsed) % TWO_32
  }

  /** The alarm is due at the beginning of the second that the match register names, which may be this one. */
  #armAlarm(): void {
    if (this.#r.mr === this.#counter()) this.#setRaw(1)
    this.#armNext()
  }

  /** Arms the timer for the next time that the counter will match. A far alarm is reached in steps, which are exact. */
  #armNext(): void {
    const elapsed = this.#elapsed()
    const left = (this.#r.mr - this.#r.baseSeconds - elapsed) >>> 0 || TWO_32
    this.#isDue = left <= STEP_SECONDS
    this.#timer?.armAfter((elapsed + Math.min(left, STEP_SECONDS)) * SECOND_NS, this.#base)
  }

  #expired(): void {
    if (this.#isDue) this.#setRaw(1)
    this.#armNext()
  }

  #read(offset: number): number {
    switch (offset) {
      case DR:
        return this.#counter()
      case MR:
        return this.#r.mr
      case LR:
        return this.#r.lr
      case CR:
        return 1
      case IMSC:
        return this.#r.imsc
      case RIS:
        return this.#r.ris
      case MIS:
        return this.#r.ris & this.#r.imsc
      default:
        return 0
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case MR:
        this.#r.mr = value
        this.#armAlarm()
        break
      case LR:
        this.#r.lr = value
        // The second that is under way is not cut short: the counter's clock runs on.
        this.#r.baseSeconds = (value - this.#elapsed()) >>> 0
        this.#armAlarm()
        break
      case IMSC:
        this.#r.imsc = value & 1
        this.#update()
        break
      case ICR:
        if ((value & 1) !== 0) this.#setRaw(0)
        break
      // DR is read-only; the counter cannot be stopped.
    }
  }

  #setRaw(ris: number): void {
    this.#r.ris = ris
    this.#update()
  }

  #update(): void {
    this.#line?.set((this.#r.ris & this.#r.imsc) !== 0)
  }

  /** Moves the clock by this many seconds. */
  timeOffset(seconds: number): void {
    this.#r.baseSeconds = (this.#r.baseSeconds + Math.trunc(seconds)) >>> 0
    this.#armAlarm()
  }

  /** Resets the interrupt's registers. The time continues, and its match register stays. */
  override reset(): void {
    super.reset()
    this.#update()
    // The alarm of this second has been noticed.
    this.#armNext()
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for one that does not fit. */
  override restore(state: unknown): void {
    super.restore(state)
    // The alarm of this second has been noticed, and perhaps taken back.
    this.#armNext()
    this.#update()
    this.#catchUp(this.#savedAt)
  }

  /** Advances by the host's wall-clock time since the save; an alarm in between is noticed. */
  #catchUp(then: number | null): void {
    const now = this.#options.wallClock?.()
    if (now === undefined || then === null) return
    const before = this.#counter()
    const passed = now - then
    const whole = Math.floor(passed)
    this.#base.add(-Math.round((passed - whole) * SECOND_NS))
    this.#r.baseSeconds = (this.#r.baseSeconds + whole) >>> 0
    // An alarm of the second that was shown has been noticed.
    if (this.#r.mr !== before && (this.#r.mr - before) >>> 0 <= this.#counter() - before) this.#setRaw(1)
    this.#armAlarm()
  }
}
