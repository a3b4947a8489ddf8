/** What a caller of the machine did wrong. */
export type MachineErrorCode = 'ERR_MEMORY_SIZE' | 'ERR_CPUS' | 'ERR_NOTHING_TO_RUN' | 'ERR_STATE'

/** A machine that cannot be made or used as asked. */
export class MachineError extends Error {
  readonly code: MachineErrorCode
  constructor(code: MachineErrorCode, message: string) {
    super(message)
    this.name = 'MachineError'
    this.code = code
  }
}
