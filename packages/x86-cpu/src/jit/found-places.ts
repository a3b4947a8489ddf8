import type { I32, I64, FunctionBuilder, Local } from '@retrap/wasm-emitter'
import type { RelativeValue } from './relative-value.ts'

/** Places that are remembered at once: a stack frame, and what a few registers point to. */
const PLACES = 4
/** How far from a place others are looked for. Farther ones are rarely in its page. */
const NEAR = 2048

/** A place in memory that code before has found in the TLB, and what lies beside it. */
export interface FoundPlace {
  /** Which of the locals hold it. */
  readonly number: number
  readonly root: number
  readonly narrow: boolean
  /** Where the place lies from its root. */
  readonly offset: number
  /** The place is in the table of pages that may be written, which may be read as well. */
  readonly writable: boolean
  /** From `low` to below `high`, from its root, is known to lie in one page. */
  readonly low: number
  readonly high: number
}

/**
 * Places of memory that were found in the TLB on every path that leads here. Another access that is a constant away from
 * one needs no look into the TLB: it lies in the same page, or the code leaves the unit. A translation does not change while a unit runs,
 * unless the unit calls what is outside it.
 */
export class FoundPlaces {
  /** Machine address of each, and its offset in its page. */
  readonly #locals: { readonly at: Local<'i32'>; readonly distance: Local<'i32'> }[]
  readonly #f: FunctionBuilder
  /** The places that are known where code is generated now. */
  known: readonly FoundPlace[] = []
  #next = 0

  /** @param f - where the code is */
  constructor(f: FunctionBuilder) {
    this.#f = f
    this.#locals = Array.from({ length: PLACES }, () => ({ at: f.local('i32'), distance: f.local('i32') }))
  }

  /** Returns a place that tells where an address is. */
  near(address: RelativeValue, write: boolean): FoundPlace | undefined {
    const { root, offset, width } = address.origin
    return this.known.find(
      (place) =>
        place.root === root &&
        place.narrow === (width === 'narrow') &&
        (place.writable || !write) &&
        Math.abs(offset - place.offset) <= NEAR,
    )
  }

  /**
   * Returns the machine address of `size` bytes at an address near a place.
   *
   * @param isOnEveryPath - what follows here is reached only by this code
   * @param leave - emits what ends the unit: the bytes are not in the place's page
   */
  beside(place: FoundPlace, address: RelativeValue, size: number, isOnEveryPath: boolean, leave: () => void): I32 {
    const f = this.#f
    const { at, distance } = this.#locals[place.number]!
    const { offset } = address.origin
    const moved = offset - place.offset
    if (offset < place.low || offset + size > place.high) {
      f.if(distance.get.add(moved).geU(0x1001 - size), leave)
      const [low, high] = [Math.min(place.low, offset), Math.max(place.high, offset + size)]
      if (isOnEveryPath) this.known = this.known.map((each) => (each === place ? { ...place, low, high } : each))
    }
    return at.get.add(moved)
  }

  /**
   * Remembers where an address has been found.
   *
   * @param host - machine address of its page
   * @param distance - its offset in the page, which has been checked for `size` bytes
   * @returns its machine address
   */
  note(address: RelativeValue, size: number, writable: boolean, host: I32, distance: I64): I32 {
    const { root, offset, width } = address.origin
    const narrow = width === 'narrow'
    const same = this.known.find((place) => place.root === root && place.narrow === narrow)
    const number = same?.number ?? this.#next++ % PLACES
    const { at, distance: kept } = this.#locals[number]!
    this.#f.set(kept, distance.toI32())
    this.#f.set(at, host.add(kept.get))
    const place = { number, root, narrow, offset, writable, low: offset, high: offset + size }
    this.known = [...this.known.filter((each) => each.number !== number), place]
    return at.get
  }
}
