import { plainLine } from '@retrap/basics'

/** Mistakes of a caller of the machine. */
export type MachineErrorCode =
  | 'ERR_MEMORY_SIZE'
  | 'ERR_CPUS'
  | 'ERR_NOTHING_TO_RUN'
  | 'ERR_OPTION'
  | 'ERR_STATE'
  | 'ERR_LOCKED'
  | 'ERR_DEVICES'
  | 'ERR_OPTION_ROM'
  | 'ERR_UNPLUG'
  | 'ERR_SNAPSHOT'
  | 'ERR_FORK'

/** A machine that cannot be made or used as asked. */
export class MachineError extends Error {
  /** Stable code to switch on. */
  readonly code: MachineErrorCode
  constructor(code: MachineErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.name = 'MachineError'
    this.code = code
  }
}
