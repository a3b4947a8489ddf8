/**
 * The kind of mistake; callers switch on it. The message is for people and may change.
 *
 * - `ERR_NO_FORM`: no form of the mnemonic takes these operands in this mode; the message lists the nearest ones
 * - `ERR_AMBIGUOUS_SIZE`: a memory operand needs a size (`byte`, `word`, `dword`, ...) for the form to be known
 * - `ERR_OPERAND`: an operand contradicts itself (a scale of 3, a 16-bit base with a scale, AH with a REX prefix)
 * - `ERR_RANGE`: a value, displacement or distance does not fit where it must go
 * - `ERR_LABEL`: a label was bound twice, never bound, or belongs to another assembler
 * - `ERR_LAYOUT`: sections overlap, `org` goes backwards, or an image is too small
 * - `ERR_PREFIX`: a prefix was asked for that the instruction cannot have
 */
export type AssemblerErrorCode =
  | 'ERR_NO_FORM'
  | 'ERR_AMBIGUOUS_SIZE'
  | 'ERR_OPERAND'
  | 'ERR_RANGE'
  | 'ERR_LABEL'
  | 'ERR_LAYOUT'
  | 'ERR_PREFIX'

/** A mistake of the caller of this package. */
export class AssemblerError extends Error {
  /** The name of the class. */
  override readonly name: string = 'AssemblerError'
  /** Stable reason; see {@link AssemblerErrorCode}. */
  readonly code: AssemblerErrorCode

  constructor(code: AssemblerErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
