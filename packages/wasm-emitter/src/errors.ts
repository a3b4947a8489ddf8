/** Mistakes of a caller of the emitter. */
export type WasmEmitterErrorCode = 'ERR_TYPE' | 'ERR_STRUCTURE' | 'ERR_DUPLICATE'

/** A mistake in how the emitter was called; the generated code never raises it. */
export class WasmEmitterError extends Error {
  /** The kind of mistake; callers switch on it. */
  readonly code: WasmEmitterErrorCode
  constructor(code: WasmEmitterErrorCode, message: string) {
    super(message)
    this.name = 'WasmEmitterError'
    this.code = code
  }
}
