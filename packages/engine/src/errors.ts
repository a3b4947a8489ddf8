/** Mistakes of a caller of the engine. */
export type EngineErrorCode =
  /** The arena of a code cache is smaller than {@link MINIMUM_ARENA_BYTES}. */
  | 'ERR_ARENA_SIZE'
  /** Bytes that are no packed interpreters of this version. */
  | 'ERR_PACKED_INTERPRETERS'

/** A caller's mistake. Programs' mistakes are exceptions of the emulated processor. */
export class EngineError extends Error {
  /** Name of the class. */
  override readonly name: string = 'EngineError'
  /** Stable code to switch on. */
  readonly code: EngineErrorCode

  /** Makes an error. */
  constructor(code: EngineErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
