import {
  FLAGS_ADD,
  FLAGS_ARITHMETIC,
  FLAGS_EXPLICIT,
  FLAGS_SUB,
  FLAG_AF,
  FLAG_CF,
  FLAG_OF,
  FLAG_PF,
  FLAG_SF,
  FLAG_ZF,
  S_FLAGS_A,
  S_FLAGS_B,
  S_FLAGS_KIND,
  S_FLAGS_RESULT,
} from './state-layout.ts'

/** The lazy flags, as generated code derives them (semantics/library.ts). */
export function arithmeticFlags(u32: Uint32Array): number {
  const kind = u32[S_FLAGS_KIND >>> 2]!
  const bLo = u32[S_FLAGS_B >>> 2]!
  if (kind === FLAGS_EXPLICIT) return bLo & FLAGS_ARITHMETIC
  const bHi = u32[(S_FLAGS_B >>> 2) + 1]!
  const aLo = u32[S_FLAGS_A >>> 2]!
  const aHi = u32[(S_FLAGS_A >>> 2) + 1]!
  const rLo = u32[S_FLAGS_RESULT >>> 2]!
  const rHi = u32[(S_FLAGS_RESULT >>> 2) + 1]!
  let parity = rLo & 0xff
  parity ^= parity >>> 4
  let flags = ((0x9669 >>> (parity & 15)) & 1) !== 0 ? FLAG_PF : 0
  if ((rLo | rHi) === 0) flags |= FLAG_ZF
  if ((rHi & 0x8000_0000) !== 0) flags |= FLAG_SF
  if (kind === FLAGS_SUB || kind === FLAGS_ADD) {
    flags |= (aLo ^ bLo ^ rLo) & FLAG_AF
    // Carry: a < b after a subtraction, result < b after an addition, unsigned.
    const [xLo, xHi] = kind === FLAGS_SUB ? [aLo, aHi] : [rLo, rHi]
    if (xHi < bHi || (xHi === bHi && xLo < bLo)) flags |= FLAG_CF
    const overflow = kind === FLAGS_SUB ? (aHi ^ bHi) & (aHi ^ rHi) : (aHi ^ rHi) & (bHi ^ rHi)
    if ((overflow & 0x8000_0000) !== 0) flags |= FLAG_OF
    return flags
  }
  return flags | (bLo & (FLAG_CF | FLAG_AF | FLAG_OF))
}

/** Sets the six arithmetic flags to those of an RFLAGS image. */
export function setArithmeticFlags(u32: Uint32Array, image: number): void {
  u32[S_FLAGS_KIND >>> 2] = FLAGS_EXPLICIT
  u32[S_FLAGS_B >>> 2] = image & FLAGS_ARITHMETIC
  u32[(S_FLAGS_B >>> 2) + 1] = 0
  u32[S_FLAGS_RESULT >>> 2] = (image & FLAG_ZF) !== 0 ? 0 : 1
  u32[(S_FLAGS_RESULT >>> 2) + 1] = 0
}
