/** What a caller of the emitter did wrong. */
export type WasmEmitterErrorCode = 'ERR_TYPE' | 'ERR_STRUCTURE' | 'ERR_DUPLICATE'

/** A mistake in how the emitter was called; the generated code never raises it. */
export class WasmEmitterError extends Error {
  /** What was wrong; callers switch on it. */
  readonly code: WasmEmitterErrorCode
  constructor(code: WasmEmitterErrorCode, message: string) {
    super(message)
    this.name = 'WasmEmitterError'
    this.code = code
  }
}
