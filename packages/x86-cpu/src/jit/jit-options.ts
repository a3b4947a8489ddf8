import type { CompiledCode as EngineCode, JitOptions as EngineOptions } from '@retrap/engine'
import { MODE_32, MODE_64 } from '../state-layout.ts'

/** Guest code that has been compiled. */
export interface CompiledCode extends Omit<EngineCode, 'mode'> {
  /** Bits of the mode: 16, 32 or 64. */
  readonly bits: 16 | 32 | 64
}

/** How hot code is compiled. */
export interface JitOptions extends Omit<EngineOptions, 'onCode'> {
  /** Called with all code that is compiled, when it is; what it throws leaves that code to the interpreter. */
  readonly onCode?: (code: CompiledCode) => void
}

/** Returns the options as the engine has them. */
export function engineOptions({ onCode, ...options }: JitOptions): EngineOptions {
  if (onCode === undefined) return options
  return {
    ...options,
    onCode: ({ mode, ...code }) => onCode({ ...code, bits: mode === MODE_64 ? 64 : mode === MODE_32 ? 32 : 16 }),
  }
}
