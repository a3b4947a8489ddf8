import type { Clock, Timer } from '../device.ts'

/**
 * The timers of a machine, on one clock.
 *
 * The machine asks `nextDeadlineNs` how long it may run, and calls `expire` when that time has come. Timers with equal
 * deadlines fire in the order in which they were armed, so that two runs of one input agree.
 */
export class TimerQueue {
  readonly #clock: Clock
  /** Binary heap by (deadline, sequence). */
  readonly #heap: QueuedTimer[] = []
  #sequence = 0
  /**
   * Called when an earlier deadline than all others has been armed, so that a machine that sleeps can wake in time.
   */
  onEarlier: (() => void) | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The earliest deadline on the clock, or `Infinity`. */
  nextDeadlineNs: number = Infinity

  /** A timer that calls `callback` with its deadline once the clock has reached it. */
  create(callback: (deadlineNs: number) => void): Timer {
    return new QueuedTimer(this, callback)
  }

  /** Fires every timer whose deadline has passed, those included that are armed meanwhile for the past; returns how many. */
  expire(): number {
    let fired = 0
    const now = this.#clock.now()
    while (this.nextDeadlineNs <= now) {
      const timer = this.#heap[0]!
      const deadline = timer.deadlineNs
      this.remove(timer)
      fired++
      timer.callback(deadline)
    }
    return fired
  }

  /** @internal */
  insert(timer: QueuedTimer): void {
    timer.sequence = this.#sequence++
    timer.position = this.#heap.length
    this.#heap.push(timer)
    this.#up(timer)
    if (this.#heap[0] === timer) {
      this.nextDeadlineNs = timer.deadlineNs
      this.onEarlier?.()
    }
  }

  /** @internal */
  remove(timer: QueuedTimer): void {
    const heap = this.#heap
    const at = timer.position
    const last = heap.pop()!
    timer.position = -1
    timer.deadlineNs = Infinity
    if (last !== timer) {
      heap[at] = last
      last.position = at
      this.#up(last)
      this.#down(last)
    }
    this.nextDeadlineNs = heap.length === 0 ? Infinity : heap[0]!.deadlineNs
  }

  #up(timer: QueuedTimer): void {
    const heap = this.#heap
    while (timer.position > 0) {
      const parent = heap[(timer.position - 1) >> 1]!
      if (!before(timer, parent)) return
      swap(heap, timer, parent)
    }
  }

  #down(timer: QueuedTimer): void {
    const heap = this.#heap
    for (;;) {
      const left = heap[2 * timer.position + 1]
      if (left === undefined) return
      const right = heap[2 * timer.position + 2]
      const child = right !== undefined && before(right, left) ? right : left
      if (!before(child, timer)) return
      swap(heap, child, timer)
    }
  }
}

function before(a: QueuedTimer, b: QueuedTimer): boolean {
  return a.deadlineNs < b.deadlineNs || (a.deadlineNs === b.deadlineNs && a.sequence < b.sequence)
}

function swap(heap: QueuedTimer[], a: QueuedTimer, b: QueuedTimer): void {
  const position = a.position
  a.position = b.position
  b.position = position
  heap[a.position] = a
  heap[b.position] = b
}

class QueuedTimer implements Timer {
  readonly #queue: TimerQueue
  readonly callback: (deadlineNs: number) => void
  deadlineNs: number = Infinity
  sequence: number = 0
  /** Index in the heap, −1 while not armed. */
  position: number = -1

  constructor(queue: TimerQueue, callback: (deadlineNs: number) => void) {
    this.#queue = queue
    this.callback = callback
  }

  arm(deadlineNs: number): void {
    if (this.position >= 0) this.#queue.remove(this)
    if (deadlineNs === Infinity) return
    this.deadlineNs = deadlineNs
    this.#queue.insert(this)
  }

  cancel(): void {
    if (this.position >= 0) this.#queue.remove(this)
  }
}
