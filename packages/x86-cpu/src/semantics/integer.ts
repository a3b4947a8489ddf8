import { I64, select } from '@retrap/wasm-emitter'
import type { I32, I64Like } from '@retrap/wasm-emitter'

/** Integers of 1, 2, 4 and 8 bytes, held as 64-bit values. */

/** The integer load of a size. */
export function loadOp(
  size: number,
  signed: boolean,
): 'i64.load' | 'i64.load8_s' | 'i64.load8_u' | 'i64.load16_s' | 'i64.load16_u' | 'i64.load32_s' | 'i64.load32_u' {
  switch (size) {
    case 1:
      return signed ? 'i64.load8_s' : 'i64.load8_u'
    case 2:
      return signed ? 'i64.load16_s' : 'i64.load16_u'
    case 4:
      return signed ? 'i64.load32_s' : 'i64.load32_u'
    case 8:
      return 'i64.load'
    default:
      throw new RangeError(`no integer load of ${size} bytes`)
  }
}

/** The integer store of a size. */
export function storeOp(size: number): 'i64.store' | 'i64.store8' | 'i64.store16' | 'i64.store32' {
  switch (size) {
    case 1:
      return 'i64.store8'
    case 2:
      return 'i64.store16'
    case 4:
      return 'i64.store32'
    case 8:
      return 'i64.store'
    default:
      throw new RangeError(`no integer store of ${size} bytes`)
  }
}

/** Sign-extends from `size` bytes. */
export function signExtend(value: I64, size: number): I64 {
  return size === 1 ? value.extend8S() : size === 2 ? value.extend16S() : size === 4 ? value.extend32S() : value
}

/** Zero-extends from `size` bytes. */
export function zeroExtend(value: I64, size: number): I64 {
  return size === 8 ? value : value.and((1n << BigInt(8 * size)) - 1n)
}

/** Bit `bit` of RFLAGS if `condition` (0 or 1), else 0. */
export function flagBit(condition: I32, mask: number): I64 {
  return condition.toI64U().shl(31 - Math.clz32(mask))
}

/** `condition ? a : b` for 64-bit values. */
export function choose(condition: I32, whenTrue: I64Like, whenFalse: I64Like): I64 {
  return select(condition, I64.of(whenTrue), I64.of(whenFalse))
}
