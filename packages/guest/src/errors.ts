/** Codes of a guest's errors. */
export type GuestErrorCode =
  /** An argument is not one that the call takes. */
  | 'ERR_GUEST_OPTION'
  /** A reply that no agent gives at this point. */
  | 'ERR_GUEST_PROTOCOL'
  /** The agent has not answered in time, or a command has not ended in time and was ended. */
  | 'ERR_GUEST_TIMEOUT'
  /** A command has printed more than its limit, and was ended. */
  | 'ERR_GUEST_OUTPUT'
  /** The guest cannot read, write or list a file, and says why. */
  | 'ERR_GUEST_FILE'
  /** Nothing accepts connections at a port of the guest, or it has no program to connect with. */
  | 'ERR_GUEST_CONNECT'
  /** The guest cannot set its clock, and says why. */
  | 'ERR_GUEST_TIME'
  /** {@link Guest.close} was called. */
  | 'ERR_GUEST_CLOSED'

/** The output of a command before it was ended. */
export interface PartialOutput {
  /** Bytes of the standard output. */
  readonly stdout: Uint8Array
  /** Bytes of the standard error output. */
  readonly stderr: Uint8Array
}

/** Error of an operation in a guest. */
export class GuestError extends Error {
  /** Says why. */
  readonly code: GuestErrorCode
  /** Output so far of a command that was ended. */
  readonly output: PartialOutput | undefined

  constructor(code: GuestErrorCode, message: string, output?: PartialOutput) {
    super(message)
    this.name = 'GuestError'
    this.code = code
    this.output = output
  }
}
