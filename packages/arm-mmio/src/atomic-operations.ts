/**
 * The arithmetic of the read-modify-write instructions.
 *
 * Source: Arm ARM (DDI 0487), "MemAtomic".
 */

/** The two words of a value. */
interface Words {
  readonly lo: number
  readonly hi: number
}

/** Names of the operations, as the tables write them. */
export type AtomicOperation = 'add' | 'clear' | 'eor' | 'set' | 'smax' | 'smin' | 'umax' | 'umin' | 'swap'

/**
 * Computes one operation on values of up to 64 bits.
 *
 * @param bytes - size of the values: 1, 2, 4 or 8
 * @param old - low and high word of memory's old value, zero-extended
 * @param operand - low and high word of the register
 * @param into - the new value's words; bits beyond the size are undefined
 */
export function atomicResult(
  operation: AtomicOperation,
  bytes: number,
  { lo: oldLo, hi: oldHi }: Words,
  { lo, hi }: Words,
  into: Uint32Array,
): void {
  switch (operation) {
    case 'add': {
      const sum = (oldLo >>> 0) + (lo >>> 0)
      into[0] = sum
      into[1] = oldHi + hi + (sum > 0xffff_ffff ? 1 : 0)
      return
    }
    case 'clear':
      into[0] = oldLo & ~lo
      into[1] = oldHi & ~hi
      return
    case 'eor':
      into[0] = oldLo ^ lo
      into[1] = oldHi ^ hi
      return
    case 'set':
      into[0] = oldLo | lo
      into[1] = oldHi | hi
      return
    case 'swap':
      into[0] = lo
      into[1] = hi
      return
    default:
  }
  const signed = operation === 'smax' || operation === 'smin'
  const greater = compare(bytes, signed, oldLo, oldHi, lo, hi) > 0
  const keep = operation === 'smax' || operation === 'umax' ? greater : !greater
  into[0] = keep ? oldLo : lo
  into[1] = keep ? oldHi : hi
}

/** Compares two values of a size: below 0, 0, above 0. */
function compare(bytes: number, signed: boolean, aLo: number, aHi: number, bLo: number, bHi: number): number {
  if (bytes === 8) {
    const high = signed ? (aHi | 0) - (bHi | 0) : (aHi >>> 0) - (bHi >>> 0)
    return high !== 0 ? high : (aLo >>> 0) - (bLo >>> 0)
  }
  const shift = 32 - bytes * 8
  const a = aLo << shift
  const b = bLo << shift
  return signed ? a - b : (a >>> 0) - (b >>> 0)
}
