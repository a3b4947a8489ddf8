import type { MachineMemory } from '../machine-memory.ts'

// Words of a ring.
/** Index of the next request, and of the oldest one that has not been served; both count on, modulo 2^32. */
const HEAD = 0
const TAIL = 1
/** Number of requests without room, and number of them served since, by doing all that a request can ask. */
const LOST = 2
const LOST_SERVED = 3
const HEADER_WORDS = 16

/** Words of a ring of this many requests, a power of two. */
export const ringWords = (size: number): number => HEADER_WORDS + 2 * size

/**
 * A bounded ring of requests to one thread by any number of others, in machine memory. A request is two words, the first of
 * which is not zero.
 *
 * Nobody waits: where the ring is full, {@link RequestRing.post} counts the request as lost, and the thread does all that can
 * be asked of it. A place that is reserved and not written yet is passed by: its words hold the number of its round, which
 * the thread changes, so that the other one finds another place.
 */
export class RequestRing {
  /** The words of the request that {@link RequestRing.look} has found. */
  readonly words: Uint32Array = new Uint32Array(2)
  readonly #memory: MachineMemory
  readonly #i32: Int32Array
  readonly #at: number
  readonly #size: number
  readonly #shift: number

  /** @param at - index of its first word, {@link ringWords} zeros; even */
  constructor(memory: MachineMemory, at: number, size: number) {
    this.#memory = memory
    this.#i32 = memory.i32
    this.#at = at
    this.#size = size
    this.#shift = Math.log2(size)
  }

  #place(index: number): number {
    return 4 * (this.#at + HEADER_WORDS + 2 * (index & (this.#size - 1)))
  }

  // ---------------------------------------------------------------- other threads

  /** Makes a request. @returns the ticket that {@link RequestRing.isServed} takes */
  post(first: number, second: number): RequestTicket {
    const i32 = this.#i32
    for (;;) {
      const head = Atomics.load(i32, this.#at + HEAD)
      if (((head - Atomics.load(i32, this.#at + TAIL)) | 0) >= this.#size) {
        return { isLost: true, number: (Atomics.add(i32, this.#at + LOST, 1) + 1) | 0 }
      }
      if (Atomics.compareExchange(i32, this.#at + HEAD, head, (head + 1) | 0) !== head) continue
      if (this.#memory.compareExchangeEntry(this.#place(head), 0, head >>> this.#shift, first, second)) {
        return { isLost: false, number: (head + 1) | 0 }
      }
    }
  }

  /** Whether a request has been served. */
  isServed({ isLost, number }: RequestTicket): boolean {
    return ((Atomics.load(this.#i32, this.#at + (isLost ? LOST_SERVED : TAIL)) - number) | 0) >= 0
  }

  // ---------------------------------------------------------------- the thread that serves

  /** Looks at the oldest request. @returns false if there is none */
  look(): boolean {
    const memory = this.#memory
    const i32 = this.#i32
    for (;;) {
      const tail = i32[this.#at + TAIL]!
      if (tail === Atomics.load(i32, this.#at + HEAD)) return false
      const place = this.#place(tail)
      memory.readEntry(place, this.words)
      if (this.words[0] !== 0) return true
      const round = tail >>> this.#shift
      if (memory.compareExchangeEntry(place, 0, round, 0, nextRound(round, this.#shift))) {
        Atomics.store(i32, this.#at + TAIL, (tail + 1) | 0)
      }
    }
  }

  /** The request that {@link RequestRing.look} has found has been served. */
  served(): void {
    const tail = this.#i32[this.#at + TAIL]!
    this.#memory.publishEntry(this.#place(tail), 0, nextRound(tail >>> this.#shift, this.#shift))
    Atomics.store(this.#i32, this.#at + TAIL, (tail + 1) | 0)
  }

  /** Number of requests that found no room, if any did since {@link RequestRing.lostServed}; else undefined. */
  get lost(): number | undefined {
    const lost = Atomics.load(this.#i32, this.#at + LOST)
    return lost === this.#i32[this.#at + LOST_SERVED] ? undefined : lost
  }

  /** All that could be asked has been done, after {@link RequestRing.lost} was read. */
  lostServed(lost: number): void {
    Atomics.store(this.#i32, this.#at + LOST_SERVED, lost)
  }
}

/** A request that was made. */
export interface RequestTicket {
  /** Whether the ring had no room for the request. */
  readonly isLost: boolean
  /** The count of requests, or of lost ones, including it. */
  readonly number: number
}

/** Rounds are numbered as far as 32-bit indices go. */
function nextRound(round: number, shift: number): number {
  return (round + 1) & (0xffff_ffff >>> shift)
}
