import type { I64, Label } from '@retrap/wasm-emitter'
import type { RegionFunction } from './region-function.ts'

/** Positions that are compared one after the other; more are found by a table. */
const MOST_COMPARED = 3
/** Multipliers that are tried, and bits that a table may have beyond those that its entries need. */
const TRIES = 200
const SPARE_BITS = 3

interface Hash {
  readonly multiplier: number
  readonly bits: number
}

/**
 * Emits: goes to one of several arms by a position; control falls out where it is none of them.
 *
 * @param positions - all different
 * @param arm - emits arm `i`; control must not fall out of it
 */
export function switchPosition(
  f: RegionFunction,
  position: I64,
  positions: readonly number[],
  arm: (i: number) => void,
): void {
  const hash = positions.length > MOST_COMPARED ? perfectHash(positions) : undefined
  if (hash === undefined) {
    for (const [i, each] of positions.entries()) f.structuredIf(position.eq(each), () => arm(i))
    return
  }
  f.structuredBlock((none) => {
    const labels: Label[] = []
    const open = (i: number): void => {
      if (i === positions.length) {
        const table: Label[] = Array.from({ length: 1 << hash.bits }, () => none)
        for (const [n, each] of positions.entries()) table[hashOf(hash, each)] = labels[n]!
        f.brTable(
          position
            .toI32()
            .mul(hash.multiplier)
            .shrU(32 - hash.bits),
          table,
          none,
        )
        return
      }
      f.structuredBlock((label) => {
        labels[i] = label
        open(i + 1)
      })
      f.brIf(position.ne(positions[i]!), none)
      arm(i)
    }
    open(0)
  })
}

function hashOf({ multiplier, bits }: Hash, position: number): number {
  return Math.imul(position, multiplier) >>> (32 - bits)
}

/** A multiplicative hash by which all positions differ. */
function perfectHash(positions: readonly number[]): Hash | undefined {
  const fewest = Math.ceil(Math.log2(positions.length))
  for (let bits = fewest; bits <= fewest + SPARE_BITS; bits++) {
    for (let i = 0, multiplier = 0x9e37_79b1; i < TRIES; i++) {
      const hash = { multiplier: multiplier | 1, bits }
      if (new Set(positions.map((each) => hashOf(hash, each))).size === positions.length) return hash
      multiplier = (Math.imul(multiplier, 0x19_660d) + 0x3c6e_f35f) | 0
    }
  }
  return undefined
}
