/**
 * Branches to computed addresses, and the instructions that they may lead to in a guarded page: FEAT_BTI.
 *
 * Source: Arm ARM (DDI 0487) D8.4.7 "Guarded pages", shared pseudocode "BTypeCompatible_BTI", "BTypeCompatible_PACIXSP".
 */

/** `ArmTranslation.key` of a guarded page. */
export const KEY_GUARDED = 1

/** PSTATE.BTYPE after a BR through X16 or X17, or of a page that is not guarded; */
export const BTYPE_JUMP = 1
/** after a BLR; */
export const BTYPE_CALL = 2
/** and after any other BR. */
export const BTYPE_GUARDED_JUMP = 3

/** Bit of {@link landingsOf}: with {@link BTYPE_GUARDED_JUMP} too, unless SCTLR_EL1.BT0 or BT1 is set. */
export const LANDS_UNLESS_STRICT = 1

const BOTH = (1 << BTYPE_JUMP) | (1 << BTYPE_CALL)
const ALL = BOTH | (1 << BTYPE_GUARDED_JUMP)
/** BTI, BTI c, BTI j, BTI jc. */
const OF_BTI: readonly number[] = [0, BOTH, (1 << BTYPE_JUMP) | (1 << BTYPE_GUARDED_JUMP), ALL]

/**
 * Returns the branch types by which an instruction may be reached: bit n for a PSTATE.BTYPE of n, and {@link
 * LANDS_UNLESS_STRICT}.
 */
export function landingsOf(word: number): number {
  if ((word & 0xffff_ff3f) >>> 0 === 0xd503_241f) return OF_BTI[(word >>> 6) & 3]!
  // PACIASP, PACIBSP.
  if ((word & 0xffff_ffbf) >>> 0 === 0xd503_233f) return BOTH | LANDS_UNLESS_STRICT
  // BRK, HLT.
  const call = (word & 0xffe0_001f) >>> 0
  return call === 0xd420_0000 || call === 0xd440_0000 ? ALL : 0
}

/** Returns PSTATE.BTYPE after a branch to a register, if its page is guarded; 0 of RET. @param register - its number */
export function branchTypeOf(mnemonic: string, register: number): number {
  if (mnemonic.startsWith('BL')) return BTYPE_CALL
  if (!mnemonic.startsWith('BR')) return 0
  return register === 16 || register === 17 ? BTYPE_JUMP : BTYPE_GUARDED_JUMP
}
