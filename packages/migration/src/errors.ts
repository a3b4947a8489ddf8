/** Why a machine was not moved. */
export type MigrationErrorCode =
  /** The connection has ended, or the other side has not answered in time. */
  | 'ERR_CUT'
  /** The other side has refused, and says why. */
  | 'ERR_REFUSED'
  /** A frame that the protocol does not have at this point. */
  | 'ERR_PROTOCOL'
  /** The guest writes its memory faster than the link can send it. */
  | 'ERR_DOWNTIME'
  /** The machine cannot be moved. */
  | 'ERR_MACHINE'

/** A failed migration: if the source reports it, the guest continues at the source. */
export class MigrationError extends Error {
  /** Says why. */
  readonly code: MigrationErrorCode

  constructor(code: MigrationErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'MigrationError'
    this.code = code
  }
}
