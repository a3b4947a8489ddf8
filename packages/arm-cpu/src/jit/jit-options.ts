import type { CompiledCode as EngineCode, JitOptions as EngineOptions } from '@retrap/engine'
import { MODE_A32 } from '../state-layout.ts'

/** Guest code that has been compiled. */
export interface CompiledCode extends Omit<EngineCode, 'mode'> {
  /** Whether it is of AArch32: A32, or at odd addresses Thumb. */
  readonly aarch32: boolean
}

/** How hot code is compiled. */
export interface JitOptions extends Omit<EngineOptions, 'onCode'> {
  /** Called with all code that is compiled, when it is; what it throws leaves that code to the interpreter. */
  readonly onCode?: (code: CompiledCode) => void
}

/** Returns the options as the engine has them. */
export function engineOptions({ onCode, ...options }: JitOptions): EngineOptions {
  if (onCode === undefined) return options
  return { ...options, onCode: ({ mode, ...code }) => onCode({ ...code, aarch32: (mode & MODE_A32) !== 0 }) }
}
