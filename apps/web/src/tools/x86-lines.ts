import { type DecodedInstruction, decodeAll, formatAtt, formatIntel, formatNasm } from '@retrap/x86-decoder'
import { hexOf, type Line, type Part, type Syntax } from './code.ts'

const FORMATS = { intel: formatIntel, att: formatAtt, nasm: formatNasm }

/** Takes x86 code apart. */
export function x86Lines(bytes: Uint8Array, mode: 16 | 32 | 64, address: bigint, syntax: Syntax): Line[] {
  return Array.from(decodeAll(bytes, { mode, address }), (insn): Line => {
    const isWhole = insn.status === 'decoded'
    const text = isWhole ? FORMATS[syntax](insn) : `(${insn.status}${insn.reason === '' ? '' : `: ${insn.reason}`})`
    return { address: insn.address, bytes: insn.bytes, text, parts: isWhole ? partsOf(insn) : [] }
  })
}

/**
 * The bytes by what they are for.
 *
 * Source: Intel SDM, vol. 2, 2.1, "Instruction Format for Protected Mode, Real-address Mode, and Virtual-8086 Mode".
 */
function partsOf({ bytes, instruction, operands, mnemonic }: DecodedInstruction): Part[] {
  const { opcodeOffset, modrmOffset, dispOffset, dispSize, immOffset, immSize } = instruction
  const hasModrm = modrmOffset > opcodeOffset
  const dispAt = dispSize > 0 ? dispOffset : Infinity
  const immAt = immSize > 0 ? immOffset : Infinity
  const end = Math.min(dispAt, immAt, bytes.length)
  const opcodeEnd = hasModrm ? modrmOffset : end
  const part = (name: string, from: number, to: number, text: string): Part[] =>
    to > from ? [{ name, value: hexOf(bytes.subarray(from, to)), text }] : []
  const modrm = hasModrm ? bytes[modrmOffset]! : 0
  const sib = hasModrm && end > modrmOffset + 1 ? bytes[modrmOffset + 1]! : 0
  return [
    ...part('prefixes', 0, opcodeOffset, 'legacy, REX, REX2, VEX, XOP or EVEX'),
    ...part('opcode', opcodeOffset, opcodeEnd, mnemonic),
    ...part('ModRM', modrmOffset, hasModrm ? modrmOffset + 1 : modrmOffset, fields('mod', 'reg', 'rm', modrm)),
    ...part('SIB', modrmOffset + 1, hasModrm ? end : 0, fields('scale', 'index', 'base', sib)),
    ...(dispSize > 0 ? part('displacement', dispOffset, dispOffset + dispSize, '') : []),
    ...(immSize > 0 ? part('immediate', immOffset, Math.min(immOffset + immSize, bytes.length), '') : []),
    ...operands.map((operand, i): Part => ({
      name: `operand ${i + 1}`,
      value: '',
      text: `${operand.kind}, ${operand.size} bytes, ${ACCESSES[operand.access]}`,
    })),
  ]
}

const ACCESSES = {
  r: 'read',
  w: 'written',
  rw: 'read and written',
  n: 'not accessed',
  cr: 'read under a condition',
  cw: 'written under a condition',
  crw: 'read, and written under a condition',
} as const

const fields = (high: string, middle: string, low: string, byte: number): string =>
  `${high} ${byte >> 6}, ${middle} ${(byte >> 3) & 7}, ${low} ${byte & 7}`
