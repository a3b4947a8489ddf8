import type { ApicClock, ApicTimer } from '../src/index.ts'

/** A clock that only tests move. */
export class TimerQueue implements ApicClock {
  time = 0
  readonly #timers: { deadline: number; callback: () => void }[] = []

  now(): number {
    return this.time
  }
  timer(callback: () => void): ApicTimer {
    const timer = { deadline: Infinity, callback }
    this.#timers.push(timer)
    return { arm: (deadlineNs) => (timer.deadline = deadlineNs), cancel: () => (timer.deadline = Infinity) }
  }
  get next(): number {
    return Math.min(...this.#timers.map((t) => t.deadline))
  }
  /** Moves on, firing each timer at its time. */
  advance(ns: number): void {
    const end = this.time + ns
    while (this.next <= end) {
      const due = this.#timers.find((t) => t.deadline === this.next)!
      this.time = Math.max(this.time, due.deadline)
      due.deadline = Infinity
      due.callback()
    }
    this.time = end
  }
  /** Moves on without looking, then fires what is due: a machine that slept. */
  oversleep(ns: number): void {
    this.time += ns
    this.advance(0)
  }
}
