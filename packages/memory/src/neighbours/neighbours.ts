import { MemoryError } from '../errors.ts'
import type { MachineMemory } from '../machine-memory.ts'
import { Neighbour, type NeighbourDuties } from './neighbour.ts'
import { MOST_NEIGHBOURS, RequestTable, tableBytes } from './request-table.ts'

/**
 * The threads that execute code of one machine memory, each with translations and decoded code of its own. They tell each other
 * of writes to code, and of translations that are to go, by requests in machine memory.
 *
 * Each of them, and the thread that runs the domain, has an object of this class for the same table.
 */
export class Neighbours {
  /** Machine address of the table. */
  readonly at: number
  readonly #memory: MachineMemory
  readonly #table: RequestTable

  /**
   * Makes the table, on the domain's thread. From now on this thread reports its writes to other threads.
   *
   * @throws MemoryError `ERR_NO_MEMORY`
   */
  static allocate(memory: MachineMemory): Neighbours {
    return new Neighbours(memory, memory.allocate(tableBytes(memory), 64, 'requests between vCPUs'))
  }

  /**
   * A view for another thread, whose writes are reported from now on: one that runs a vCPU, or device models.
   *
   * @param at - machine address of a table that {@link Neighbours.allocate} has made
   */
  constructor(memory: MachineMemory, at: number) {
    this.at = at
    this.#memory = memory
    this.#table = new RequestTable(memory, at)
    memory.neighbours = this
  }

  /**
   * This thread executes code of the memory: before it has translations, or decoded code.
   *
   * @param number - from 0, unique
   * @param attention - machine address of the word that makes the thread leave its code, when `value` is stored in it
   * @throws MemoryError `ERR_RANGE`
   */
  join(number: number, attention: number, value: number, duties: NeighbourDuties): Neighbour {
    const row = this.#table.rows[number]
    if (row === undefined) {
      throw new MemoryError('ERR_RANGE', `neighbour ${number}: expected 0 to ${MOST_NEIGHBOURS - 1}`, { number })
    }
    row.join(attention, value, this.#table.epoch)
    const neighbour = new Neighbour(this.#table, this.#memory.frameBits, number, duties)
    this.#memory.neighbours = neighbour
    return neighbour
  }

  /** Ends a neighbour: this thread executes no more code of the memory, and holds none. */
  part(neighbour: Neighbour): void {
    neighbour.leave()
    this.#memory.neighbours = this
  }

  /** Tells the owners of a frame's code of bytes that the domain's thread has written. */
  tell(frame: number, first: number, last: number): void {
    this.#table.tell(0, frame, first, last)
  }

  /**
   * The map of guest-physical addresses has changed: all threads are to drop their translations.
   *
   * @returns the epoch, for {@link Neighbours.haveDropped}
   */
  dropAll(): number {
    return this.#table.nextEpoch()
  }

  /** Whether no thread executes with translations of before an epoch. */
  haveDropped(epoch: number): boolean {
    return this.#table.rows.every((row) => !row.isExecuting || ((row.dropped - epoch) | 0) >= 0)
  }

  /**
   * Index in `MachineMemory.i32` of a word that changes, and is notified, when {@link Neighbours.haveDropped} may have become
   * true: for `Atomics.waitAsync`.
   */
  get acknowledgedWord(): number {
    return this.#table.acknowledgedWord
  }

  /** Machine address of a word that is 0 at first, of all threads: a lock. */
  get lock(): number {
    return this.#table.lock
  }

  /** A thread has ended without leaving: no other thread waits for it any more. */
  lost(number: number): void {
    const row = this.#table.rows[number]
    if (row !== undefined) row.isExecuting = false
    this.#table.endExclusive(number)
    this.#table.acknowledge()
  }
}
