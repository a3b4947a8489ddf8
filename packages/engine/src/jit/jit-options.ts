import type { CompiledCode } from './compiled-code.ts'

/** Default of {@link JitOptions.threshold}. Measured: at a fifth of it, kernels' paths cost more to compile than they give back. */
export const JIT_THRESHOLD = 100_000

/** How hot code is compiled. */
export interface JitOptions {
  /** Branches to a place, from 1, after which the code there is compiled; default {@link JIT_THRESHOLD}. */
  readonly threshold?: number
  /** Guest instructions that code must have, from 1; default 3. Less is not worth entering. */
  readonly fewestInstructions?: number
  /** Called with all code that is compiled, when it is; what it throws leaves that code to the interpreter. */
  readonly onCode?: (code: CompiledCode) => void
}

/** What the compiler has done. */
export interface JitCounts {
  /** Units compiled, those that were compiled anew too. */
  units: number
  /** Units in use, as far as is known: those whose code has been written are noticed later. */
  live: number
  /** Guest instructions in them. */
  instructions: number
  /** Bytes of WebAssembly modules. */
  bytes: number
  /** Milliseconds that compiling took. */
  milliseconds: number
  /** Errors of the compiler and of the host's WebAssembly; the interpreter goes on with the code. */
  failures: number
  /** The first of these errors; undefined where there was none. */
  firstFailure: string | undefined
}
