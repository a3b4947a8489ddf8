import { IoreqError } from './errors.ts'

/**
 * A shared word that is rung: what an event channel is in Xen. It counts, so that a ring between looking and waiting is
 * not lost: look at the value, look for work, wait for the value to change.
 */
export class Doorbell {
  /** To be handed to another thread, which makes a doorbell of its own over it. */
  readonly words: Int32Array
  readonly index: number

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

  /** How often it has been rung, modulo 2^32. */
  get value(): number {
    return Atomics.load(this.words, this.index)
  }

  /** Rings: wakes whoever waits. */
  ring(): void {
    Atomics.add(this.words, this.index, 1)
    Atomics.notify(this.words, this.index)
  }

  /**
   * Blocks the thread until the value is no longer `seen`, or the time is over. Where a thread may not block (a
   * browser's main thread) this throws a TypeError.
   *
   * @returns false if the time was over
   */
  waitSync(seen: number, ms: number = Infinity): boolean {
    return Atomics.wait(this.words, this.index, seen, ms) !== 'timed-out'
  }

  /** The same as a promise; the event loop runs meanwhile. It keeps no process alive. */
  async wait(seen: number, ms: number = Infinity): Promise<boolean> {
    const result = Atomics.waitAsync(this.words, this.index, seen, ms)
    return (result.async ? await result.value : result.value) !== 'timed-out'
  }
}
