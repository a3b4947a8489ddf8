/** Bits of a fraction: as many as a number holds exactly. */
const FRACTION_BITS = 53
const LOW_BITS = 26

/**
 * A sequence of random draws that follows from a seed and a name. A sequence of another name is
 * another one: how often one is drawn from does not change the others.
 */
export class Draws {
  #state: number

  constructor(seed: number, name: string) {
    // FNV-1a (Fowler, Noll, Vo), 32 bits.
    let hash = 0x811c_9dc5
    for (const character of `${seed} ${name}`) hash = Math.imul(hash ^ character.codePointAt(0)!, 0x0100_0193)
    this.#state = hash
  }

  /** The same sequence, which goes on from here by itself. */
  copy(): Draws {
    const copy = new Draws(0, '')
    copy.#state = this.#state
    return copy
  }

  /** Returns 32 random bits. */
  bits(): number {
    // A Weyl sequence, mixed by the finalizer of MurmurHash3.
    this.#state = (this.#state + 0x9e37_79b9) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 16), 0x85eb_ca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }

  /** Returns a number from 0 to less than 1. */
  fraction(): number {
    const high = this.bits() >>> (32 - (FRACTION_BITS - LOW_BITS))
    return (high * 2 ** LOW_BITS + (this.bits() >>> (32 - LOW_BITS))) / 2 ** FRACTION_BITS
  }

  /** Returns a whole number from 0 to less than `bound`. */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound)
  }

  /** Whether something of this probability happens. Nothing is drawn for what never happens. */
  happens(probability: number): boolean {
    return probability > 0 && this.fraction() < probability
  }

  /** Returns a time between events that come at random, this far apart on average. */
  gap(mean: number): number {
    return -Math.log(1 - this.fraction()) * mean
  }

  /** Returns one of several. */
  pick<T>(some: readonly T[]): T {
    return some[this.below(some.length)]!
  }

  /** Returns them in a random order. */
  shuffled<T>(some: readonly T[]): T[] {
    const all = [...some]
    for (let i = all.length - 1; i > 0; i--) {
      const other = this.below(i + 1)
      ;[all[i], all[other]] = [all[other]!, all[i]!]
    }
    return all
  }
}
