import type { CodeInstructions } from './unit-code.ts'

/** Offsets in a module of guest instructions' code. */

/** Start of a guest instruction's code. */
export interface CodeMark {
  /** Position in the module of the first byte of WebAssembly. */
  readonly at: number
  /** Index of the instruction in {@link CompiledCode.instructions}; -1: code of the unit itself follows. */
  readonly instruction: number
  /** Whether the instruction's code continues after code of others that it branches to. */
  readonly goesOn: boolean
}

/** A mark while the function that it is in is built. */
interface Note {
  /** Position of the guest instruction; undefined: the unit's own code begins. */
  readonly position: number | undefined
  readonly goesOn: boolean
  /** Bytes of the function before it, from a place that all notes share. */
  readonly from: number
}

/** Collects marks while code is emitted, if a listener wants them. */
export class CodeNotes {
  readonly #notes: Note[] = []

  /** Notes the start of a guest instruction's code. @param from - bytes of code before it */
  note(position: number | undefined, from: number, goesOn: boolean): void {
    this.#notes.push({ position, goesOn, from })
  }

  /**
   * Returns the marks, in the order of the code; none where no code follows.
   *
   * @param end - module position of the end of `bytes` bytes of code, as counted in the notes
   * @param positions - positions of the instructions, in order
   */
  marks(end: number, bytes: number, positions: Int32Array): CodeMark[] {
    const marks: CodeMark[] = []
    for (const [i, { position, goesOn, from }] of this.#notes.entries()) {
      const instruction = position === undefined ? -1 : positions.indexOf(position)
      const hasCode = from !== (this.#notes[i + 1]?.from ?? bytes)
      const isSame = goesOn && marks.at(-1)?.instruction === instruction
      if (hasCode && !isSame) marks.push({ at: end - (bytes - from), instruction, goesOn })
    }
    return marks
  }
}

/** An instruction of compiled guest code. */
export interface CompiledInstruction {
  /** Linear address of the instruction at compilation. */
  readonly address: bigint
  /** The bytes of the module. */
  readonly bytes: Uint8Array
}

/** Compiled guest code. */
export interface CompiledCode {
  /** The WebAssembly module: `moduleText` of `@retrap/wasm-emitter` prints it. */
  readonly module: Uint8Array
  /** Mode of the code. */
  readonly mode: number
  /** Instructions in ascending order of addresses. */
  readonly instructions: readonly CompiledInstruction[]
  /** Offsets in the module at which the instructions' code begins, ascending; code before the first is the unit's own. */
  readonly marks: readonly CodeMark[]
}

/** Lists the instructions of compiled code. @param base - linear address of its first page */
export function compiledInstructions({ at, from, bytes }: CodeInstructions, base: bigint): CompiledInstruction[] {
  return Array.from(at, (position, i) => ({
    address: BigInt.asUintN(64, base + BigInt(position)),
    bytes: bytes.subarray(from[i], from[i + 1]),
  }))
}
