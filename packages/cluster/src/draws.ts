/** Bits of a fraction: as many as a number holds exactly. */
const FRACTION_BITS = 53
const LOW_BITS = 26

/** The generator of random draws, as plans name it. Plans without a name are of the generator before, whose state had 32 bits. */
export const GENERATOR = 'xoroshiro64**'

/**
 * The begin of all draws: the number that a user gives, a text that is derived from that number, or the number of a plan of a release
 * before, whose draws are made by the generator of then.
 */
export type Seed = number | string | { readonly mix32: number }

/** Derives the seed of a part of a run. */
export const derivedSeed = (seed: Seed, part: string): Seed =>
  typeof seed === 'object' ? { mix32: new Draws(seed, part).bits() } : `${seed}, ${part}`

/**
 * A sequence of random draws that follows from a seed and a name. A sequence of another name is
 * another one: how often one is drawn from does not change the others.
 *
 * Source: Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators" (2021), xoroshiro64**.
 */
export class Draws {
  #state: number
  #other = 0
  /** The generator is the one of releases before. */
  readonly #isOld: boolean

  constructor(seed: Seed, name: string) {
    this.#isOld = typeof seed === 'object'
    const text = `${typeof seed === 'object' ? seed.mix32 : seed} ${name}`
    this.#state = hashOf(text, 0x0100_0193)
    if (this.#isOld) return
    this.#state = mixed(this.#state)
    // The state is never all zeros.
    this.#other = mixed(hashOf(text, 0x5bd1_e995)) || 1
  }

  /** The same sequence, which goes on from here by itself. */
  copy(): Draws {
    const copy = new Draws(this.#isOld ? { mix32: 0 } : 0, '')
    copy.#state = this.#state
    copy.#other = this.#other
    return copy
  }

  /** Returns 32 random bits. */
  bits(): number {
    if (this.#isOld) {
      // A Weyl sequence, mixed.
      this.#state = (this.#state + 0x9e37_79b9) | 0
      return mixed(this.#state)
    }
    const [state, other] = [this.#state, this.#other ^ this.#state]
    this.#state = rotated(state, 26) ^ other ^ (other << 9)
    this.#other = rotated(other, 13)
    return Math.imul(rotated(Math.imul(state, 0x9e37_79bb), 5), 5) >>> 0
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

/** FNV-1a (Fowler, Noll, Vo), 32 bits. @param factor - its prime; any other odd number gives a hash that is independent of that */
function hashOf(text: string, factor: number): number {
  let hash = 0x811c_9dc5
  for (const character of text) hash = Math.imul(hash ^ character.codePointAt(0)!, factor)
  return hash
}

/** The finalizer of MurmurHash3 (Appleby). */
function mixed(bits: number): number {
  let mix = Math.imul(bits ^ (bits >>> 16), 0x85eb_ca6b)
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2_ae35)
  return (mix ^ (mix >>> 16)) >>> 0
}

const rotated = (bits: number, by: number): number => (bits << by) | (bits >>> (32 - by))
