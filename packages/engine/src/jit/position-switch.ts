import { type I64, type Label, FunctionBuilder, I32, type Callee, type I32Like, type Value } from '@retrap/wasm-emitter'

/** A function of the interpreter's module as units call it: through the table. */
export interface TableCallee extends Callee {
  /** Entry in the table. */
  readonly entry: number
  /** Index of the function's type in the calling module. */
  readonly typeIndex: number
}

/**
 * Builds the function of a unit: `(state, record, tlb) → UNIT_*`. Subclasses may change how the code of instructions is
 * emitted; the structure of the unit around them is emitted by the methods here.
 */
export class RegionFunction extends FunctionBuilder {
  /** Emits a block of the unit's own structure. */
  structuredBlock(build: (label: Label) => void): void {
    super.block(build)
  }

  /** Emits a loop of the unit's own structure. */
  structuredLoop(build: (label: Label) => void): void {
    super.loop(build)
  }

  /** Emits a conditional arm of the unit's own structure. */
  structuredIf(condition: I32, then: () => void): void {
    super.if(condition, then)
  }

  /** Returns the constant machine address of a load or store; else -1. */
  protected constantAddress(address: I32Like, offset: number): number {
    const { known } = I32.of(address)
    // Machine memory has up to 4 GiB, and constants have a sign.
    return known === undefined ? -1 : (known >>> 0) + offset
  }

  /** Calls a function: of this module, or through the table. Its result, if any, is in a fresh local. */
  override call(callee: Callee, ...operands: Value[]): never {
    const { entry, typeIndex } = callee as Partial<TableCallee>
    const result =
      entry === undefined || typeIndex === undefined
        ? super.call(callee, ...operands)
        : this.callIndirect(callee.signature, typeIndex, entry, ...operands)
    return result as never
  }
}

/** Most positions compared one by one; beyond this number a table is used. */
const MOST_COMPARED = 3
/** Number of multipliers tried, and extra bits of a table beyond the minimum. */
const TRIES = 200
const SPARE_BITS = 3

interface Hash {
  readonly multiplier: number
  readonly bits: number
}

/**
 * Emits a jump to one of several arms by position; for other positions control falls through.
 *
 * @param positions - all different
 * @param arm - emits arm `i`; control must not fall through it
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

/** Searches for a multiplicative hash without collisions between the positions; undefined: none was found. */
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
