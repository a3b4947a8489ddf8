import { IoreqError } from '@retrap/ioreq'

/**
 * How long a thread looks at the word before it blocks, in milliseconds. Being woken takes longer than most models take to
 * answer, and several times as long where the processor has gone to sleep meanwhile.
 */
const LOOKING_MS = 0.03
/** Number of polls between two readings of the clock. */
const LOOKS = 64
/** Readings of a clock that stands still: some browsers' clocks advance in steps of 100 ms, and a test's clock on command. */
const CLOCK_LOOKS = 2000
/** Waits that block without polling, after a poll without success: first this many, then twice as many, … */
const LEAST_RESTS = 8
const MOST_RESTS = 4096

/**
 * A shared word by which one thread wakes another, as by an event channel of Xen. It counts rings, so that none is
 * lost: read the value, look for work, then wait until the value has changed.
 */
export class Doorbell {
  /** To be handed to another thread, which makes a doorbell of its own over it. */
  readonly words: Int32Array
  /** Index of the word in the buffer. */
  readonly index: number
  /** Waits that block without polling first, and their number after the next poll without success. */
  #rests = 0
  #backoff = LEAST_RESTS

  /**
   * @param words - over a `SharedArrayBuffer`
   * @throws IoreqError `ERR_INVALID` for memory that cannot be shared
   */
  constructor(words: Int32Array = new Int32Array(new SharedArrayBuffer(4)), index = 0) {
    if (!(words.buffer instanceof SharedArrayBuffer)) {
      throw new IoreqError('ERR_INVALID', 'a doorbell needs a SharedArrayBuffer')
    }
    this.words = words
    this.index = index
  }

  /** Number of rings, modulo 2^32. */
  get value(): number {
    return Atomics.load(this.words, this.index)
  }

  /** Rings: wakes the party that waits. */
  ring(): void {
    Atomics.add(this.words, this.index, 1)
    Atomics.notify(this.words, this.index)
  }

  /**
   * Blocks the thread until the value is no longer `seen`, or the time is over. Where a thread may not block (a
   * browser's main thread) this throws a TypeError.
   *
   * It polls the word for some microseconds first, unless that failed too often: two threads that take turns then save
   * the cost of a wake-up.
   *
   * @returns false if the time was over
   */
  waitSync(seen: number, ms: number = Infinity): boolean {
    if (ms > LOOKING_MS && this.#look(seen)) return true
    return Atomics.wait(this.words, this.index, seen, ms) !== 'timed-out'
  }

  /** Whether the word changes while the thread looks. */
  #look(seen: number): boolean {
    if (this.#rests > 0) {
      this.#rests--
      return false
    }
    const { words, index } = this
    let until = 0
    for (let times = 0; times < CLOCK_LOOKS; times++) {
      for (let i = 0; i < LOOKS; i++) {
        if (Atomics.load(words, index) === seen) continue
        this.#backoff = Math.max(LEAST_RESTS, this.#backoff >>> 1)
        return true
      }
      const now = performance.now()
      if (until === 0) until = now + LOOKING_MS
      else if (now >= until) break
    }
    this.#rests = this.#backoff
    this.#backoff = Math.min(MOST_RESTS, this.#backoff * 2)
    return false
  }

  /** Waits as the blocking form does, by a promise: the event loop runs meanwhile. It keeps no process alive. */
  async wait(seen: number, ms: number = Infinity): Promise<boolean> {
    const result = Atomics.waitAsync(this.words, this.index, seen, ms)
    return (result.async ? await result.value : result.value) !== 'timed-out'
  }
}
