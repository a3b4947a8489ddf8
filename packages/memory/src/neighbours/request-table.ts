import type { MachineMemory } from '../machine-memory.ts'
import { NeighbourRow, ROW_WORDS } from './neighbour-row.ts'

/** Most threads that execute code of one machine memory: `codeBits` counts as far. */
export const MOST_NEIGHBOURS: number = 31

// Words of the table.
/** Number of requests to drop all translations. */
const EPOCH = 0
/** Changes, and is notified, when a thread has dropped its translations, or executes no more. */
const ACKNOWLEDGED = 1
/** Number of the thread that executes alone, plus 1; 0: none does. */
const EXCLUSIVE = 2
/** The lock of pairs of words. */
const LOCK = 3
const TABLE_WORDS = 16

/** Bytes of the table of a machine memory. */
export const tableBytes = ({ frameCount }: MachineMemory): number =>
  4 * (TABLE_WORDS + MOST_NEIGHBOURS * ROW_WORDS + 2 * frameCount)

/** The table of `Neighbours`, in machine memory: a row for each thread, and the frames that each of them has. */
export class RequestTable {
  /** Rows by number of the thread. */
  readonly rows: readonly NeighbourRow[]
  /** For each frame, a bit for each thread that may have write entries. */
  readonly writers: Int32Array
  /** For each frame, a bit for each thread that holds decoded code. */
  readonly owners: Int32Array
  readonly #i32: Int32Array
  readonly #at: number

  /** @param at - machine address of {@link tableBytes}, zeros at first */
  constructor(memory: MachineMemory, at: number) {
    const { frameCount, i32 } = memory
    this.#i32 = i32
    this.#at = at >>> 2
    const first = this.#at + TABLE_WORDS
    this.rows = Array.from({ length: MOST_NEIGHBOURS }, (_, i) => new NeighbourRow(memory, first + i * ROW_WORDS))
    const byFrame = first + MOST_NEIGHBOURS * ROW_WORDS
    this.writers = i32.subarray(byFrame, byFrame + frameCount)
    this.owners = i32.subarray(byFrame + frameCount, byFrame + 2 * frameCount)
  }

  /** Calls back with the rows of some threads, a bit each. */
  eachOf(threads: number, call: (row: NeighbourRow) => void): void {
    for (let rest = threads; rest !== 0; rest &= rest - 1) call(this.rows[31 - Math.clz32(rest & -rest)]!)
  }

  /** Tells the owners of a frame's code of bytes that were written. @param not - a bit for each thread that knows */
  tell(not: number, frame: number, first: number, last: number): void {
    this.eachOf(Atomics.load(this.owners, frame) & ~not, (row) => {
      row.writes.post(frame, first | (last << 16))
      row.ask()
    })
  }

  /** The thread that executes alone; −1: none. */
  get exclusive(): number {
    return Atomics.load(this.#i32, this.#at + EXCLUSIVE) - 1
  }

  /** A thread is to execute alone. @returns false if another one does */
  takeExclusive(number: number): boolean {
    return Atomics.compareExchange(this.#i32, this.#at + EXCLUSIVE, 0, number + 1) === 0
  }

  /** Ends a thread's time of executing alone, if it had one. */
  endExclusive(number: number): void {
    if (Atomics.compareExchange(this.#i32, this.#at + EXCLUSIVE, number + 1, 0) !== number + 1) return
    for (const row of this.rows) if (row.stands) row.ring()
  }

  /** Machine address of a lock word for all threads. */
  get lock(): number {
    return 4 * (this.#at + LOCK)
  }

  /** The newest epoch. */
  get epoch(): number {
    return Atomics.load(this.#i32, this.#at + EPOCH)
  }

  /** Asks all threads to drop their translations. @returns the new epoch */
  nextEpoch(): number {
    const epoch = (Atomics.add(this.#i32, this.#at + EPOCH, 1) + 1) | 0
    for (const row of this.rows) row.ask()
    return epoch
  }

  /** Index of the word that {@link RequestTable.acknowledge} changes. */
  get acknowledgedWord(): number {
    return this.#at + ACKNOWLEDGED
  }

  /** A thread has dropped its translations, or executes no more. */
  acknowledge(): void {
    Atomics.add(this.#i32, this.acknowledgedWord, 1)
    Atomics.notify(this.#i32, this.acknowledgedWord)
  }
}
