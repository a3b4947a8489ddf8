import { ByteReader } from './byte-reader.ts'
import { instructionText } from './instruction-text.ts'

/** An instruction of a function's code. */
export interface CodeInstruction {
  /** Name in WebAssembly's text format. */
  readonly name: string
  /** Position of its first byte. */
  readonly from: number
  /** Position after its last byte. */
  readonly to: number
  /** The operands in the text format, after a space; empty where there are none. */
  readonly operands: string
  /** The number of blocks around it. */
  readonly depth: number
}

/**
 * Reads statements that a {@link FunctionBuilder} has emitted.
 *
 * Throws `WasmEmitterError` `ERR_STRUCTURE` for other bytes.
 */
export function readCode(code: Uint8Array): CodeInstruction[] {
  const reader = new ByteReader(code)
  const instructions: CodeInstruction[] = []
  let depth = 0
  while (!reader.isAtEnd) {
    const from = reader.at
    const { name, operands } = instructionText(reader)
    if (name === 'end' || name === 'else') depth--
    instructions.push({ name, from, to: reader.at, operands, depth })
    if (name === 'block' || name === 'loop' || name === 'if' || name === 'else') depth++
  }
  return instructions
}
