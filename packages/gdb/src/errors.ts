/** Codes of {@link GdbError}. */
export type GdbErrorCode =
  /** A register set without a needed register, or with one twice. */
  'ERR_REGISTERS'

/** A caller's mistake. Clients' mistakes are answered with error packets. */
export class GdbError extends Error {
  /** The class’s name. */
  override readonly name: string = 'GdbError'
  /** Stable code to switch on. */
  readonly code: GdbErrorCode

  constructor(code: GdbErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
