import type { CodeMark } from './code-marks.ts'
import type { CodeInstructions } from './unit-code.ts'

/** An instruction of compiled guest code. */
export interface CompiledInstruction {
  /** Its linear address, where the code was when it was compiled. */
  readonly address: bigint
  /** The bytes of the module. */
  readonly bytes: Uint8Array
}

/** Guest code that has been compiled. */
export interface CompiledCode {
  /** The WebAssembly module: `moduleText` of `@retrap/wasm-emitter` prints it. */
  readonly module: Uint8Array
  /** Mode of the code. */
  readonly mode: number
  /** In the order of their addresses. */
  readonly instructions: readonly CompiledInstruction[]
  /** Where the code of each begins in the module, in the order of the module; code before the first mark is the unit's own. */
  readonly marks: readonly CodeMark[]
}

/** Lists the instructions of compiled code. @param base - linear address of its first page */
export function compiledInstructions({ at, from, bytes }: CodeInstructions, base: bigint): CompiledInstruction[] {
  return Array.from(at, (position, i) => ({
    address: BigInt.asUintN(64, base + BigInt(position)),
    bytes: bytes.subarray(from[i], from[i + 1]),
  }))
}
