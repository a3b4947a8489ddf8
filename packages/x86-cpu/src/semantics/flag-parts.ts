import { I32 } from '@retrap/wasm-emitter'
import type { I64 } from '@retrap/wasm-emitter'
import {
  FLAGS_ADD,
  FLAGS_EXPLICIT,
  FLAGS_SUB,
  FLAG_AF,
  FLAG_CF,
  FLAG_OF,
  FLAG_PF,
  FLAG_SF,
  FLAG_ZF,
} from '../state-layout.ts'
import { CC_B, CC_BE, CC_E, CC_L, CC_O, CC_P, CC_S } from './condition-codes.ts'

/** The arithmetic flags that a lazy state of a known kind stands for, each 0 or 1. */
export interface FlagParts {
  readonly carry: I32
  readonly parity: I32
  readonly adjust: I32
  readonly zero: I32
  readonly sign: I32
  readonly overflow: I32
}

/** Derives the flags from the lazy state, each by itself: what is not used is not computed. */
export function flagParts(kind: number, a: I64, b: I64, result: I64): FlagParts {
  const bit = (mask: number): I32 =>
    b
      .toI32()
      .shrU(31 - Math.clz32(mask))
      .and(1)
  const zero = result.eqz()
  if (kind === FLAGS_EXPLICIT) {
    return {
      carry: bit(FLAG_CF),
      parity: bit(FLAG_PF),
      adjust: bit(FLAG_AF),
      zero,
      sign: bit(FLAG_SF),
      overflow: bit(FLAG_OF),
    }
  }
  // Even parity of the low byte, by folding it to four bits and looking those up.
  const folded = result.xor(result.shrU(4)).toI32().and(15)
  const common = { parity: I32.of(0x9669).shrU(folded).and(1), zero, sign: result.ltS(0) }
  const adjust = a
    .xor(b)
    .xor(result)
    .toI32()
    .shrU(31 - Math.clz32(FLAG_AF))
    .and(1)
  if (kind === FLAGS_SUB) {
    return { ...common, adjust, carry: a.ltU(b), overflow: a.xor(b).and(a.xor(result)).ltS(0) }
  }
  if (kind === FLAGS_ADD) {
    return { ...common, adjust, carry: result.ltU(b), overflow: a.xor(result).and(b.xor(result)).ltS(0) }
  }
  return { ...common, adjust: bit(FLAG_AF), carry: bit(FLAG_CF), overflow: bit(FLAG_OF) }
}

/** The six flags at their RFLAGS positions. */
export function flagBits(kind: number, a: I64, b: I64, result: I64): I32 {
  if (kind === FLAGS_EXPLICIT) return b.toI32()
  const { carry, parity, adjust, zero, sign, overflow } = flagParts(kind, a, b, result)
  const at = (flag: I32, mask: number): I32 => flag.shl(31 - Math.clz32(mask))
  return at(carry, FLAG_CF)
    .or(at(parity, FLAG_PF))
    .or(at(adjust, FLAG_AF))
    .or(at(zero, FLAG_ZF))
    .or(at(sign, FLAG_SF))
    .or(at(overflow, FLAG_OF))
}

/** Whether a condition holds. @param base - an even `CC_*` */
export function conditionOf(base: number, { carry, parity, zero, sign, overflow }: FlagParts): I32 {
  switch (base) {
    case CC_O:
      return overflow
    case CC_B:
      return carry
    case CC_E:
      return zero
    case CC_BE:
      return carry.or(zero)
    case CC_S:
      return sign
    case CC_P:
      return parity
    case CC_L:
      return sign.ne(overflow)
    default:
      return sign.ne(overflow).or(zero)
  }
}
