import { savedDeadline, type Timer, type Word64 } from '@retrap/device'
import type { TimerQueue } from '@retrap/device/host'
import { XenErrno } from './numbers.ts'

export const WATCHDOGS = 2
const NS_PER_SECOND = 1e9

/** A domain's watchdogs: one that is not reset in time ends the domain. */
export class Watchdogs {
  readonly #timers: readonly Timer[]
  readonly #inUse: boolean[] = Array.from({ length: WATCHDOGS }, () => false)

  constructor(timers: TimerQueue, bite: () => void) {
    this.#timers = this.#inUse.map(() => timers.create(bite))
  }

  /**
   * Starts a watchdog (number 0), resets it to `seconds` from now, or stops it (0 seconds).
   *
   * @returns the number of a new one; 0; or an error
   */
  set(number: number, seconds: number): number {
    if (number > WATCHDOGS) return XenErrno.INVAL
    const index = number === 0 ? this.#inUse.indexOf(false) : number - 1
    if (index < 0) return XenErrno.NOSPC
    if (number !== 0 && this.#inUse[index] !== true) return XenErrno.INVAL
    const timer = this.#timers[index]
    this.#inUse[index] = number === 0 || seconds !== 0
    if (this.#inUse[index]) timer?.armAfter(seconds * NS_PER_SECOND)
    else timer?.cancel()
    return number === 0 ? index + 1 : 0
  }

  /** Power-on: none. */
  reset(): void {
    this.#inUse.fill(false)
    for (const timer of this.#timers) timer.cancel()
  }

  /** Returns deadlines of used watchdogs, null for others. */
  save(): (Word64 | null)[] {
    return this.#timers.map((timer, i) => (this.#inUse[i] === true ? savedDeadline(timer) : null))
  }

  restore(deadlines: readonly (Word64 | null)[]): void {
    this.reset()
    for (const [i, deadline] of deadlines.entries()) {
      if (deadline === null || i >= WATCHDOGS) continue
      this.#inUse[i] = true
      this.#timers[i]?.armAfter(0, deadline)
    }
  }
}
