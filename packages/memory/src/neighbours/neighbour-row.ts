import type { MachineMemory } from '../machine-memory.ts'
import { RequestRing, ringWords } from './request-ring.ts'

// Words of a thread's row.
/** The thread executes, or does not. */
const STATE = 0
/** Nonzero while a request waits. */
const ASKED = 1
/** Changes, and is notified, when a request comes that another thread waits for, or one of its own was served. */
const BELL = 2
/** Index of the word that makes the thread leave its code, and the value to store in it. */
const ATTENTION = 3
const ATTENTION_VALUE = 4
/** The epoch for which the thread has dropped its translations. */
const DROPPED = 5
const ROW_HEADER_WORDS = 16

const QUIET = 0
const EXECUTING = 1
/** Waits while another one executes alone; serves requests that others wait for. */
const STANDING = 2

const DROPS = 64
const WRITES = 256
export const ROW_WORDS: number = ROW_HEADER_WORDS + ringWords(DROPS) + ringWords(WRITES)

/** One thread's part of the table. */
export class NeighbourRow {
  /** Requests to drop the write entries of a frame. */
  readonly drops: RequestRing
  /** Reports of written bytes in frames with code. */
  readonly writes: RequestRing
  readonly #i32: Int32Array
  readonly #at: number

  constructor(memory: MachineMemory, at: number) {
    this.#i32 = memory.i32
    this.#at = at
    this.drops = new RequestRing(memory, at + ROW_HEADER_WORDS, DROPS)
    this.writes = new RequestRing(memory, at + ROW_HEADER_WORDS + ringWords(DROPS), WRITES)
  }

  /** The thread joins. */
  join(attention: number, value: number, epoch: number): void {
    this.#i32[this.#at + ATTENTION] = attention >>> 2
    this.#i32[this.#at + ATTENTION_VALUE] = value
    this.#i32[this.#at + DROPPED] = epoch
  }

  /** Whether others wait for its answers. */
  get isExecuting(): boolean {
    return Atomics.load(this.#i32, this.#at + STATE) !== QUIET
  }
  set isExecuting(executing: boolean) {
    Atomics.store(this.#i32, this.#at + STATE, executing ? EXECUTING : QUIET)
  }

  /** Whether the thread waits while another one executes alone. */
  get stands(): boolean {
    return Atomics.load(this.#i32, this.#at + STATE) === STANDING
  }
  set stands(stands: boolean) {
    Atomics.store(this.#i32, this.#at + STATE, stands ? STANDING : EXECUTING)
  }

  /** Asks the thread to serve its requests soon. */
  ask(): void {
    const i32 = this.#i32
    Atomics.store(i32, this.#at + ASKED, 1)
    const attention = i32[this.#at + ATTENTION]!
    if (attention !== 0) Atomics.store(i32, attention, i32[this.#at + ATTENTION_VALUE]!)
  }

  /** Whether a request waits. */
  get isAsked(): boolean {
    return Atomics.load(this.#i32, this.#at + ASKED) !== 0
  }

  /** The thread is about to look at all requests. */
  clearAsked(): void {
    Atomics.store(this.#i32, this.#at + ASKED, 0)
  }

  /** The epoch for which translations were dropped. */
  get dropped(): number {
    return Atomics.load(this.#i32, this.#at + DROPPED)
  }
  set dropped(epoch: number) {
    Atomics.store(this.#i32, this.#at + DROPPED, epoch)
  }

  /** Wakes the thread, if it waits. */
  ring(): void {
    Atomics.add(this.#i32, this.#at + BELL, 1)
    Atomics.notify(this.#i32, this.#at + BELL)
  }

  /** Counts rings. Read it before the condition, then hand it to `wait`: no ring in between is lost. */
  get bell(): number {
    return Atomics.load(this.#i32, this.#at + BELL)
  }

  /** Waits until the bell has rung since, a millisecond at most. */
  wait(bell: number): void {
    Atomics.wait(this.#i32, this.#at + BELL, bell, 1)
  }
}
