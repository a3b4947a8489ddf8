import type { Word64 } from '../access.ts'
import { Instant } from '../instant.ts'
import type { Clock, Timer, TimerCallback } from '../wires.ts'
import { DeviceError } from '../errors.ts'

/** Longest delay of a host timer in milliseconds; a longer one would fire at once. */
export const LONGEST_HOST_TIMER_MS = 0x7fff_ffff

/**
 * Sets `deadline` to `delayNs` after `from`, for a timer that a model arms. A deadline before power-on becomes 0.
 *
 * A deadline that compares with nothing would stop the timers of the whole machine; so all arguments are checked.
 *
 * @param deadline - may be `from`
 * @throws DeviceError `ERR_INVALID` for NaN and values that are not numbers; `deadline` stays unchanged
 */
export function setDeadline(deadline: Instant, delayNs: number, from: Readonly<Word64>): void {
  const { lo, hi } = from
  if (typeof delayNs !== 'number' || Number.isNaN(delayNs) || !Number.isInteger(lo) || !Number.isInteger(hi)) {
    const start = lo === 0 && hi === 0 ? '' : `, after the instant ${String(hi)}:${String(lo)}`
    throw new DeviceError(
      'ERR_INVALID',
      `a timer was armed for ${String(delayNs)}${start}: expected nanoseconds on the machine's clock, or Infinity`,
    )
  }
  deadline.set(from)
  deadline.add(delayNs)
  if (deadline.hi >= 0) return
  deadline.lo = 0
  deadline.hi = 0
}

/**
 * Callbacks that one timer gets in one look. A periodic timer catches up with the periods that have passed, but a guest
 * chooses the period: however short it is, a look ends.
 */
const CALLBACKS_A_LOOK = 64
/** Origin of relative deadlines. */
const POWER_ON: Readonly<Word64> = new Instant()

/**
 * The timers of a machine, on one clock.
 *
 * The machine asks `nextDeadlineNs` how long it may run, and calls `expire` when that time has come. Timers with equal
 * deadlines fire in the order in which they were armed, so that two runs of one input agree.
 *
 * A look at the timers is bounded: a timer that is armed for the past again and again stays due when it has fired 64
 * times, and the others fire before it does again.
 */
export class TimerQueue {
  readonly #clock: Clock
  /** Binary heap by (deadline, sequence). */
  readonly #heap: QueuedTimer[] = []
  #sequence = 0
  /** Number of the call of `expire`. */
  #look = 0
  /** Due timers whose callbacks this pass has already made. */
  readonly #late: QueuedTimer[] = []
  /** Called when an earlier deadline than all others has been armed, so that a machine that sleeps can wake in time. */
  onEarlier: (() => void) | null = null
  readonly #now = new Instant()
  /** The deadline passed to the callback that is being called. */
  readonly #reached = new Instant()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The earliest deadline on the clock, rounded above 2^53, or `Infinity`. */
  nextDeadlineNs: number = Infinity

  /** Reads the earliest deadline exactly. @returns false while no timer is armed: then `into` becomes 2^64 − 1 */
  readNextDeadline(into: Word64): boolean {
    const first = this.#heap[0]
    if (first !== undefined) return first.readDeadline(into)
    into.lo = 0xffff_ffff
    into.hi = 0xffff_ffff
    return false
  }

  /** Creates a timer that calls `callback` with its deadline once the clock has reached it. */
  create(callback: TimerCallback): Timer {
    return new QueuedTimer(this, this.#clock, callback)
  }

  /**
   * Fires all expired timers, including those armed meanwhile for the past, but each at most 64 times.
   *
   * @returns how many callbacks were made. Timers may be due still, for the next call
   */
  expire(): number {
    let fired = 0
    const now = this.#now
    this.#clock.read(now)
    const look = ++this.#look
    const reached = this.#reached
    for (let timer = this.#heap[0]; timer !== undefined && !now.isBefore(timer.deadline); timer = this.#heap[0]) {
      this.remove(timer)
      if (timer.look !== look) {
        timer.look = look
        timer.callbacks = 0
      }
      if (timer.callbacks === CALLBACKS_A_LOOK) {
        this.#late.push(timer)
        continue
      }
      timer.callbacks++
      fired++
      reached.set(timer.deadline)
      timer.deadline.clear()
      timer.callback(reached.toNumber(), reached)
    }
    if (this.#late.length > 0) this.#armLate()
    return fired
  }

  /** Queues again, in order, the timers that reached their limit of callbacks in this pass. */
  #armLate(): void {
    for (const timer of this.#late.splice(0)) {
      // Another timer's callback may have rearmed or cancelled this timer.
      if (timer.position < 0 && !timer.deadline.isNever) this.insert(timer)
    }
  }

  /** @internal Puts an armed timer into the queue. */
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

  /** @internal Removes a timer from the queue; its deadline stays. */
  remove(timer: QueuedTimer): void {
    const heap = this.#heap
    const at = timer.position
    const last = heap.pop()!
    timer.position = -1
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
  return a.deadline.isBefore(b.deadline) || (a.sequence < b.sequence && a.deadline.equals(b.deadline))
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
  readonly #clock: Clock
  readonly callback: TimerCallback
  /** “Never” while not armed. */
  readonly deadline: Instant = new Instant().clear()
  sequence: number = 0
  /** Index in the heap, −1 outside of it. */
  position: number = -1
  /** The last pass in which the timer fired, and how often. */
  look: number = 0
  callbacks: number = 0

  constructor(queue: TimerQueue, clock: Clock, callback: TimerCallback) {
    this.#queue = queue
    this.#clock = clock
    this.callback = callback
  }

  get deadlineNs(): number {
    return this.deadline.toNumber()
  }

  arm(deadlineNs: number): void {
    this.armAfter(deadlineNs, POWER_ON)
  }

  armAfter(delayNs: number, from?: Readonly<Word64>): void {
    if (from === undefined) this.#clock.read(scratch)
    setDeadline(scratch, delayNs, from ?? scratch)
    if (this.position >= 0) this.#queue.remove(this)
    this.deadline.set(scratch)
    if (!scratch.isNever) this.#queue.insert(this)
  }

  readDeadline(into: Word64): boolean {
    into.lo = this.deadline.lo
    into.hi = this.deadline.hi
    return !this.deadline.isNever
  }

  cancel(): void {
    if (this.position >= 0) this.#queue.remove(this)
    this.deadline.clear()
  }
}

/** Reused for a timer's deadline. */
const scratch = new Instant()
