import { I32, type I64 } from '@retrap/wasm-emitter'
import * as S from '../state/state-layout.ts'

/** Condition codes as in the low four bits of Jcc opcodes (SDM vol. 1, appendix B, "EFLAGS Condition Codes"). */
export const CC_O = 0
export const CC_B = 2
export const CC_E = 4
export const CC_BE = 6
export const CC_S = 8
export const CC_P = 10
export const CC_L = 12
export const CC_LE = 14

/** The arithmetic flags, each 0 or 1. */
export interface FlagParts {
  readonly carry: I32
  readonly parity: I32
  readonly adjust: I32
  readonly zero: I32
  readonly sign: I32
  readonly overflow: I32
  /** CF or ZF, where there is a shorter way to both than to each. */
  readonly carryOrZero?: I32 | undefined
}

export type FlagName = Exclude<keyof FlagParts, 'carryOrZero'>

/** The names of the flags and their masks in RFLAGS. */
export const FLAG_MASKS: Readonly<Record<FlagName, number>> = {
  carry: S.FLAG_CF,
  parity: S.FLAG_PF,
  adjust: S.FLAG_AF,
  zero: S.FLAG_ZF,
  sign: S.FLAG_SF,
  overflow: S.FLAG_OF,
}
const NAMES = Object.keys(FLAG_MASKS) as FlagName[]

/** A bit of flags, 0 or 1. */
export function flagOf(flags: I32, name: FlagName): I32 {
  return flags.shrU(31 - Math.clz32(FLAG_MASKS[name])).and(1)
}

/** Flags at their RFLAGS positions. @param parts - what is absent is clear */
export function flagsOf(parts: Partial<FlagParts>): I32 {
  return NAMES.flatMap((name) => parts[name]?.shl(31 - Math.clz32(FLAG_MASKS[name])) ?? []).reduce(
    (all, flag) => all.or(flag),
    I32.of(0),
  )
}

/** ZF, SF and PF of a sign-extended result. */
export function resultParts(result: I64): Pick<FlagParts, 'zero' | 'sign' | 'parity'> {
  // Even parity of the low byte, by folding it to four bits and looking those up.
  const low = result.toI32().and(0xff)
  const folded = low.xor(low.shrU(4)).and(15)
  return { parity: I32.of(0x9669).shrU(folded).and(1), zero: result.eqz(), sign: result.ltS(0) }
}

/** Derives the flags from the lazy state, each by itself: what is not used is not computed. */
export function flagParts(kind: number, a: I64, b: I64, result: I64): FlagParts {
  const given = b.toI32()
  if (kind === S.FLAGS_EXPLICIT) {
    return {
      carry: flagOf(given, 'carry'),
      parity: flagOf(given, 'parity'),
      adjust: flagOf(given, 'adjust'),
      zero: result.eqz(),
      sign: flagOf(given, 'sign'),
      overflow: flagOf(given, 'overflow'),
    }
  }
  const common = resultParts(result)
  if (kind !== S.FLAGS_SUB && kind !== S.FLAGS_ADD) {
    return {
      ...common,
      adjust: flagOf(given, 'adjust'),
      carry: flagOf(given, 'carry'),
      overflow: flagOf(given, 'overflow'),
    }
  }
  const adjust = flagOf(a.toI32().xor(given).xor(result.toI32()), 'adjust')
  return kind === S.FLAGS_SUB
    ? { ...common, adjust, carry: a.ltU(b), overflow: a.xor(b).and(a.xor(result)).ltS(0) }
    : { ...common, adjust, carry: result.ltU(b), overflow: a.xor(result).and(b.xor(result)).ltS(0) }
}

/** Returns the six flags at their RFLAGS positions: as {@link flagParts}, but for bits that need not be moved. */
export function flagBits(kind: number, a: I64, b: I64, result: I64): I32 {
  const given = b.toI32()
  if (kind === S.FLAGS_EXPLICIT) return given
  const common = resultParts(result)
  if (kind !== S.FLAGS_SUB && kind !== S.FLAGS_ADD) {
    return flagsOf(common).or(given.and(S.FLAG_CF | S.FLAG_AF | S.FLAG_OF))
  }
  const { carry, overflow } = flagParts(kind, a, b, result)
  return flagsOf({ ...common, carry, overflow }).or(a.toI32().xor(given).xor(result.toI32()).and(S.FLAG_AF))
}

/** Whether a condition holds. @param base - an even `CC_*` */
export function conditionOf(base: number, parts: Omit<FlagParts, 'adjust'>): I32 {
  switch (base) {
    case CC_O:
      return parts.overflow
    case CC_B:
      return parts.carry
    case CC_E:
      return parts.zero
    case CC_BE:
      return parts.carryOrZero ?? parts.carry.or(parts.zero)
    case CC_S:
      return parts.sign
    case CC_P:
      return parts.parity
    case CC_L:
      return parts.sign.ne(parts.overflow)
    default:
      return parts.sign.ne(parts.overflow).or(parts.zero)
  }
}
