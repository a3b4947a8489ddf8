import type { FloatRules } from '@retrap/soft-float'

/**
 * The architecture's choices where IEEE 754 leaves them open.
 *
 * Source: Arm ARM (DDI 0487) A1.5, "Floating-point support".
 */
export const FLOAT_RULES: FloatRules = {
  defaultNanSign: 0,
  survivingNan: 'first-signalling',
  addendFirst: true,
  invalidProductFirst: true,
  tininess: 'before-rounding',
  denormalOperand: 'raises-when-flushed',
  flushedIsInexact: false,
  flushesHalf: true,
}

// Bits of FPCR.
export const FPCR_FZ16_SHIFT = 19
export const FPCR_RMODE_SHIFT = 22
export const FPCR_FZ_SHIFT = 24
export const FPCR_DN: number = 1 << 25
export const FPCR_AHP: number = 1 << 26

/** FPSR.IXC: some result was inexact. */
export const FPSR_IXC: number = 1 << 4

/** Implemented bits of FPCR: AHP, DN, FZ, RMode, FZ16. */
export const FPCR_BITS = 0x07c8_0000
/** FPSR's: the flags of AArch32's comparisons, QC, and the cumulative flags IDC, IXC, UFC, OFC, DZC and IOC. */
export const FPSR_BITS = 0xf800_009f
