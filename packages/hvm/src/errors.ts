import { plainLine } from '@retrap/basics'

/** The kind of failure, for programs. */
export type HvmErrorCode =
  /** A device has not answered by the deadline. */
  | 'ERR_PENDING'
  /** A wait that cannot end, because of a cycle of waits. */
  | 'ERR_DEADLOCK'
  /** A saved state of another version or shape. */
  | 'ERR_STATE'

/** A caller asked for something that cannot be done. */
export class HvmError extends Error {
  /** The kind of failure. */
  readonly code: HvmErrorCode
  /** The vCPUs concerned. */
  readonly vcpus: readonly number[]

  constructor(code: HvmErrorCode, message: string, vcpus: readonly number[] = []) {
    super(plainLine(message))
    this.name = 'HvmError'
    this.code = code
    this.vcpus = vcpus
  }
}
