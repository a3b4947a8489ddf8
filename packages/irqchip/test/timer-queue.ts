import { Instant, type Word64 } from '@retrap/device'
import { TimerQueue as Queue } from '@retrap/device/host'
import type { ApicClock, ApicTimer } from '../src/index.ts'

/** A clock that only tests move. */
export class TimerQueue implements ApicClock {
  readonly exact = new Instant()
  readonly #queue = new Queue(this)

  set time(ns: number | bigint) {
    this.exact.set(Instant.from(ns))
  }
  now(): number {
    return this.exact.toNumber()
  }
  read(into: Word64): void {
    into.lo = this.exact.lo
    into.hi = this.exact.hi
  }
  timer(callback: () => void): ApicTimer {
    return this.#queue.create(callback)
  }
  get next(): number {
    return this.#queue.nextDeadlineNs
  }
  /** The next deadline, exactly; −1: none. */
  get nextExact(): bigint {
    const into = new Instant()
    return this.#queue.readNextDeadline(into) ? into.toBigInt() : -1n
  }
  /** Moves on, firing each timer at its time. */
  advance(ns: number): void {
    const end = new Instant().set(this.exact).add(ns)
    const next = new Instant()
    while (this.#queue.readNextDeadline(next) && !end.isBefore(next)) {
      if (this.exact.isBefore(next)) this.exact.set(next)
      this.#queue.expire()
    }
    this.exact.set(end)
  }
  /** Moves on without looking, then fires what is due: a machine that slept. */
  oversleep(ns: number): void {
    this.exact.add(ns)
    this.advance(0)
  }
}
