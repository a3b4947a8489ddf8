/** Mistakes of a caller. */
export type X86CpuErrorCode =
  /** Saved state of another version, or with something missing. */
  | 'ERR_SAVED_STATE'
  /** Saved state of another CPU model. */
  | 'ERR_STATE_MODEL'
  /** State was asked for in the middle of an instruction. */
  | 'ERR_BUSY'
  /** A second debugger, or a watchpoint of an impossible length. */
  | 'ERR_DEBUG'
  /** A CPU model that does not exist, or a feature without those that it needs. */
  | 'ERR_CPU_MODEL'

/** A caller's mistake. Guests' mistakes are exceptions of the guest. */
export class X86CpuError extends Error {
  /** The class’s name. */
  override readonly name: string = 'X86CpuError'
  /** Stable code to switch on. */
  readonly code: X86CpuErrorCode

  constructor(code: X86CpuErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
