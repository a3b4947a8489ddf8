import type { CompiledCode } from './code-marks.ts'
import type { CompileHelper } from './compile-helper.ts'
import type { CodeKeeper } from './kept/kept-codes.ts'
import type { ExitReason } from './exit-reasons.ts'

/** Default of {@link JitOptions.threshold}. Measured: at a fifth of it, compiling code of a kernel's boot costs more time than it saves. */
export const JIT_THRESHOLD = 100_000

/** Default of {@link JitOptions.misses}: about as many take as long as to compile a unit anew. */
export const JIT_MISSES = 4096

/** Default of {@link JitOptions.codeBytes}: 4 MiB. Measured with V8: the host's memory grows by about 28 times as much. */
export const JIT_CODE_BYTES: number = 4 << 20

/** Options for compiling hot code. */
export interface JitOptions {
  /**
   * Branches to a place, from 1, after which the code there is compiled; default {@link JIT_THRESHOLD}. From a tenth of the
   * default on it is compiled earlier while compiling has taken a small part of the time. Before that, it is watched.
   */
  readonly threshold?: number
  /**
   * Branches to a place, from 0, for which it is watched before it is compiled: code that is not executed meanwhile is left
   * out. Default an 80th of the threshold.
   */
  readonly watch?: number
  /**
   * Guest instructions that code must have, from 1; default 1. Measured: Linux's functions end with a jump to a single
   * return; where the interpreter executes that, between two units, pipes and page faults take 4 % longer.
   */
  readonly fewestInstructions?: number
  /**
   * Bytes of WebAssembly modules that are kept, from 1; default {@link JIT_CODE_BYTES}. Beyond them, code that has not been
   * entered for long is given up; while all is in use, no more is compiled.
   */
  readonly codeBytes?: number
  /**
   * TLB misses of an instruction, from 1, after which compiled code deals with them in place; default {@link JIT_MISSES}.
   * Devices, pages with code and accesses in two pages count as misses.
   */
  readonly misses?: number
  /** The store of compiled code for later runs, which then do not compile it; default: none. */
  readonly keep?: CodeKeeper
  /**
   * A thread that compiles, while the interpreter goes on with the code; default: none, code is compiled by the thread that
   * executes it. Units then begin at times that depend on the host, of which the guest sees nothing.
   */
  readonly helper?: CompileHelper
  /** Called with each compiled code; if the function throws, the code stays interpreted. */
  readonly onCode?: (code: CompiledCode) => void
}

/**
 * The compiler's work, and the execution of its code. Where vCPUs run in several threads, `executed` and `exits` may
 * lose some counts.
 */
export interface JitCounts {
  /** Number of compiled units, counting recompilations. */
  readonly units: number
  /** Number of units that {@link JitOptions.helper} has compiled. */
  readonly helped: number
  /** Units in use, as far as is known: units whose code has been overwritten are noticed later. */
  readonly live: number
  /** Bytes of the modules of the units in use. */
  readonly liveBytes: number
  /** Number of units with code compiled earlier from the same bytes: at the same place, or elsewhere. */
  readonly revived: number
  /** Number of units with code from an earlier run or another machine, kept in {@link JitOptions.keep}. */
  readonly loaded: number
  /** Bytes of the modules that no unit in use has, kept for places with the same bytes. */
  readonly keptBytes: number
  /** Number of units dropped because all code exceeded {@link JitOptions.codeBytes}. */
  readonly evictions: number
  /** Guest instructions in all units that were compiled. */
  readonly instructions: number
  /** Number of distinct compiled places: recompilations count once. */
  readonly distinct: number
  /** Bytes of the WebAssembly modules of all units that were compiled. */
  readonly bytes: number
  /** Milliseconds that compiling took, without the work of {@link JitOptions.helper}. */
  readonly milliseconds: number
  /** Milliseconds of the longest wait of a processor for compiled code: it waits from hot to installed. */
  readonly longestMilliseconds: number
  /** Milliseconds of the median of the last 1,024 such waits. */
  readonly medianMilliseconds: number
  /** Guest instructions that compiled code has executed. */
  readonly executed: number
  /**
   * Milliseconds of turns that were spent in compiled code: turns are timed as a whole, and the time of an instruction in
   * compiled code and in the interpreter is found from how turns differ. Devices count with the code that uses them.
   */
  readonly compiledMilliseconds: number
  /** Milliseconds of interpreted execution. */
  readonly interpretedMilliseconds: number
  /** Number of exits from compiled code to the interpreter, by reason. */
  readonly exits: Readonly<Record<ExitReason, number>>
  /** Errors of the compiler and of the host's WebAssembly; the interpreter goes on with the code. */
  readonly failures: number
  /** The first of these errors; undefined: none. */
  readonly firstFailure: string | undefined
}
