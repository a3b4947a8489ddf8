import type { NetworkClock } from '../../src/clock.ts'

/** Time that a test moves. */
export class VirtualClock implements NetworkClock {
  #now = 0
  #order = 0
  readonly #timers = new Set<{ readonly at: number; readonly order: number; readonly callback: () => void }>()
  #soon: (() => void)[] = []

  now(): number {
    return this.#now
  }

  after(milliseconds: number, callback: () => void): () => void {
    const timer = { at: this.#now + milliseconds, order: this.#order++, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  soon(callback: () => void): void {
    this.#soon.push(callback)
  }

  /** How many timers are running. */
  get timers(): number {
    return this.#timers.size
  }

  /** Runs what is due now, then the next timer. @returns false: nothing was there to run */
  step(until = Infinity): boolean {
    if (this.settle()) return true
    let next
    for (const timer of this.#timers) {
      if (next === undefined || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer
    }
    if (next === undefined || next.at > until) return false
    this.#timers.delete(next)
    this.#now = Math.max(this.#now, next.at)
    next.callback()
    this.settle()
    return true
  }

  /** Runs what is due at this instant. */
  settle(): boolean {
    let ran = false
    while (this.#soon.length > 0) {
      ran = true
      for (const callback of this.#soon.splice(0)) callback()
    }
    return ran
  }

  /** Lets time pass. */
  advance(milliseconds: number): void {
    const until = this.#now + milliseconds
    while (this.step(until));
    this.#now = until
  }
}
