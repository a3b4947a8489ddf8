/** The kind of failure of an {@link ArmCpuError}. */
export type ArmCpuErrorCode = 'ERR_BUDGET' | 'ERR_DEBUG' | 'ERR_RAM' | 'ERR_SAVED_STATE' | 'ERR_TRANSLATION'

/** A caller's mistake. */
export class ArmCpuError extends Error {
  /** `ArmCpuError`. */
  override readonly name = 'ArmCpuError'
  /** The kind of mistake. */
  readonly code: ArmCpuErrorCode

  constructor(code: ArmCpuErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
