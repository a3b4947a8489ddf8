import { requireRegister, AssemblerError } from './checks.ts'

/** K1 to K7, as an operand under a mask has it. */
export interface OperandMask {
  readonly name: string
  /** 1 to 7. */
  readonly number: number
}

/** A destination under a mask, made by `k()` of a register or of memory. */
export interface Masked<Of = unknown> {
  /** Tells the kinds of operand apart. */
  readonly type: 'masked'
  /** The operand under the mask. */
  readonly operand: Of
  /** K1 to K7. */
  readonly mask: OperandMask
  /** Elements that the mask leaves out become 0 instead of keeping their value. */
  readonly zeroing: boolean
}

/** A register under a mask, which may also be zeroed where the mask is clear. */
export interface MaskedRegister<Of = unknown> extends Masked<Of> {
  /** Elements that the mask leaves out become 0. */
  z(): Masked<Of>
}

function requireMask(mask: OperandMask): void {
  requireRegister(mask, 'a mask')
  if (mask.number === 0) throw new AssemblerError('ERR_OPERAND', 'k0 cannot be a mask: it stands for none')
}

/** Memory under a mask. */
export function maskedMemory<Of>(operand: Of, mask: OperandMask): Masked<Of> {
  requireMask(mask)
  return Object.freeze({ type: 'masked', operand, mask, zeroing: false })
}

/** A register under a mask. */
export function maskedRegister<Of>(operand: Of, mask: OperandMask): MaskedRegister<Of> {
  requireMask(mask)
  return Object.freeze({
    type: 'masked',
    operand,
    mask,
    zeroing: false,
    z: (): Masked<Of> => Object.freeze({ type: 'masked', operand, mask, zeroing: true }),
  })
}

/** How a floating-point instruction on registers rounds, in place of MXCSR's mode; all exceptions are suppressed. */
export interface Rounding {
  /** Tells the kinds of operand apart. */
  readonly type: 'rounding'
  /** To nearest, down, up, toward zero; `sae`: exceptions are suppressed, and no rounding is named. */
  readonly mode: 'rn' | 'rd' | 'ru' | 'rz' | 'sae'
}

/** `{rn-sae}`: rounds to nearest even. The last operand, as in `asm.vaddps(zmm1, zmm2, zmm3, rnSae)`. */
export const rnSae: Rounding = Object.freeze({ type: 'rounding', mode: 'rn' })
/** `{rd-sae}`: rounds down; see {@link rnSae}. */
export const rdSae: Rounding = Object.freeze({ type: 'rounding', mode: 'rd' })
/** `{ru-sae}`: rounds up; see {@link rnSae}. */
export const ruSae: Rounding = Object.freeze({ type: 'rounding', mode: 'ru' })
/** `{rz-sae}`: rounds toward zero; see {@link rnSae}. */
export const rzSae: Rounding = Object.freeze({ type: 'rounding', mode: 'rz' })
/** `{sae}`: exceptions are suppressed, for instructions that do not round; see {@link rnSae}. */
export const sae: Rounding = Object.freeze({ type: 'rounding', mode: 'sae' })
