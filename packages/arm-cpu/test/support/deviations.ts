/** Where qemu-aarch64 7.2 does something else than the manual says: all that is known of user programs. */
import { findA64 } from '@retrap/arm-decoder'
import { controlValue } from './float-values.ts'

/** FPCR.FZ. */
const FLUSHES = 1n << 24n

/**
 * FPCR of a case.
 *
 * FJCVTZS, or VJCVT of AArch32, of a denormal number that is flushed sets Z in QEMU (its issue 2375). FPToFixedJS: "elsif sign == '0' && value ==
 * 0.0 && !IsZero(op<51:0>) then Z = '0'".
 */
export const controlOf = (mnemonic: string, random: () => number): bigint =>
  mnemonic === 'FJCVTZS' || mnemonic.startsWith('VJCVT') ? controlValue(random) & ~FLUSHES : controlValue(random)

/**
 * Mends a result of QEMU.
 *
 * FCVTZS of scalars of half precision to a fixed-point number leaves 32 bits, sign-extended. The instruction: "Elem[result, e,
 * esize] = FPToFixed(element, fracbits, unsigned, FPCR, rounding, esize); V[d] = result", which clears what is above esize.
 *
 * @param vectors - offset of V0 in the state
 */
export function mendResult(word: number, state: Uint8Array, vectors: number): void {
  const row = findA64(word)
  if (row?.mnemonic !== 'FCVTZS' || !row.operands.startsWith('<Hd>, <Hn>, <#')) return
  state.fill(0, vectors + 16 * (word & 31) + 2, vectors + 16 * (word & 31) + 4)
}

/**
 * FPSCR.Len and Stride, which QEMU keeps. The register: in an implementation without short vectors, "these bits are RES0";
 * Armv8 has none.
 */
export const SHORT_VECTORS = 0x0037_0000
