/** Bits of the registers that control the processor. Those of upper words are of the word, not of the register. */

/** Every access is aligned to its element. */
export const SCTLR_A: number = 1 << 1
/** AArch32: MCR may be a barrier; SETEND is undefined. */
export const SCTLR_CP15BEN: number = 1 << 5
export const SCTLR_SED: number = 1 << 8
/** EL1's stack pointer must be 16-byte aligned when used as base. */
export const SCTLR_SA: number = 1 << 3
/** EL0's stack pointer must be 16-byte aligned when used as base. */
export const SCTLR_SA0: number = 1 << 4
/** Bits of the keys of pointer authentication, as `KEYS` orders them. */
export const SCTLR_KEYS: readonly number[] = [31, 30, 27, 13]
/** PSTATE.PAN stays as it is on an exception to EL1. */
export const SCTLR_SPAN: number = 1 << 23
/** WFI and WFE of EL0 are not trapped. */
export const SCTLR_NTWI: number = 1 << 16
export const SCTLR_NTWE: number = 1 << 18
/** Cache maintenance of EL0 is not trapped. */
export const SCTLR_UCI: number = 1 << 26
/** CTR_EL0 is EL0's, too. */
export const SCTLR_UCT: number = 1 << 15
/** DC ZVA of EL0 is not trapped. */
export const SCTLR_DZE: number = 1 << 14
/** PACIASP and PACIBSP are no landings of any jump: of EL0, and in the next bit of EL1; upper word. */
export const SCTLR_BT_SHIFT = 3
/** PSTATE.SSBS after an exception to EL1; upper word. */
export const SCTLR_DSSBS: number = 1 << 12

/** HCR_EL2: general exceptions of EL0 go to EL2. */
export const HCR_TGE: number = 1 << 27
/** HVC is undefined. */
export const HCR_HCD: number = 1 << 29
/** WFI and WFE are trapped. */
export const HCR_TWI: number = 1 << 13
export const HCR_TWE: number = 1 << 14
/** DC ZVA is trapped. */
export const HCR_TDZ: number = 1 << 28
/** SMC is trapped. */
export const HCR_TSC: number = 1 << 19
/** Maintenance is trapped: of caches by set and way, by address, to the point of unification; of translations. */
export const HCR_TSW: number = 1 << 22
export const HCR_TPCP: number = 1 << 23
export const HCR_TPU: number = 1 << 24
export const HCR_TTLB: number = 1 << 25
/** The implementation's own registers are trapped. */
export const HCR_TIDCP: number = 1 << 20
/** Writes and reads of the registers of the translation are trapped. */
export const HCR_TVM: number = 1 << 26
export const HCR_TRVM: number = 1 << 30
/** CTR_EL0 and other ID registers of caches are trapped. */
export const HCR_TID2: number = 1 << 17
/** EL1 is AArch64. */
export const HCR_RW: number = 1 << 31
/** Upper word: external aborts go to EL2. */
export const HCR_TEA: number = 1 << 5
/** Upper word: keys, and instructions that use them, are not trapped. */
export const HCR_APK: number = 1 << 8
export const HCR_API: number = 1 << 9

/** CPTR_EL2: SIMD and floating point are trapped. */
export const CPTR_TFP: number = 1 << 10
/** CPACR_EL1: levels without traps; 1: EL1, 3: EL1 and EL0. */
export const CPACR_FPEN_SHIFT = 20

/** MDCR_EL2: debug exceptions go to EL2. */
export const MDCR_TDE: number = 1 << 8
