import { type DecodedInstruction, decodeAll, formatAtt, formatIntel, formatNasm } from '@retrap/x86-decoder'
import { hexOf, type Line, type Part, readBytes, readField, replaced, type Syntax } from './code.ts'

const FORMATS = { intel: formatIntel, att: formatAtt, nasm: formatNasm }

/** Takes x86 code apart. */
export function x86Lines(bytes: Uint8Array, mode: 16 | 32 | 64, address: bigint, syntax: Syntax): Line[] {
  return Array.from(decodeAll(bytes, { mode, address }), (insn): Line => {
    const isWhole = insn.status === 'decoded'
    const text = isWhole ? FORMATS[syntax](insn) : `(${insn.status}${insn.reason === '' ? '' : `: ${insn.reason}`})`
    return { address: insn.address, bytes: insn.bytes, text, parts: isWhole ? partsOf(insn, mode) : [] }
  })
}

/**
 * Divides the bytes by their purpose.
 *
 * Source: Intel SDM, vol. 2, 2.1, "Instruction Format for Protected Mode, Real-address Mode, and Virtual-8086 Mode".
 */
function partsOf({ bytes, instruction, operands, mnemonic }: DecodedInstruction, mode: 16 | 32 | 64): Part[] {
  const { opcodeOffset, modrmOffset, dispOffset, dispSize, immOffset, immSize } = instruction
  const hasModrm = modrmOffset > opcodeOffset
  const dispAt = dispSize > 0 ? dispOffset : Infinity
  const immAt = immSize > 0 ? immOffset : Infinity
  const end = Math.min(dispAt, immAt, bytes.length)
  const opcodeStart = escapeOf(bytes, opcodeOffset, mode)
  const opcodeEnd = hasModrm ? modrmOffset : end
  const part = (name: string, from: number, to: number, text: string, parts: readonly Part[] = []): Part[] => {
    const change = (value: string): Uint8Array | null => {
      const others = readBytes(value)
      return others && replaced(bytes, from, to, others)
    }
    return to > from ? [{ name, value: hexOf(bytes.subarray(from, to)), text, change, parts }] : []
  }
  /** Three fields of the byte at a place. */
  const fields = (at: number, ...names: readonly [string, string, string]): Part[] =>
    names.map((name, i): Part => {
      const [shift, width] = [6 - 3 * i, i === 0 ? 2 : 3]
      const mask = (1 << width) - 1
      const change = (text: string): Uint8Array | null => {
        const value = readField(text, width)
        if (value === null) return null
        return replaced(bytes, at, at + 1, Uint8Array.of((bytes[at]! & ~(mask << shift)) | (value << shift)))
      }
      const value = (bytes[at]! >> shift) & mask
      return { name, value: String(value), text: `${width} bits: ${value.toString(2).padStart(width, '0')}`, change }
    })
  return [
    ...part('prefixes', 0, opcodeStart, 'legacy, REX, REX2, VEX, XOP or EVEX'),
    ...part('opcode', opcodeStart, opcodeEnd, mnemonic),
    ...(hasModrm ? part('ModRM', modrmOffset, modrmOffset + 1, '', fields(modrmOffset, 'mod', 'reg', 'rm')) : []),
    ...(hasModrm && end > modrmOffset + 1
      ? part('SIB', modrmOffset + 1, end, '', fields(modrmOffset + 1, 'scale', 'index', 'base'))
      : []),
    ...(dispSize > 0 ? part('displacement', dispOffset, dispOffset + dispSize, '') : []),
    ...(immSize > 0 ? part('immediate', immOffset, Math.min(immOffset + immSize, bytes.length), '') : []),
    ...operands.map((operand, i): Part => ({
      name: `operand ${i + 1}`,
      value: '',
      text: `${operand.kind}, ${operand.size} bytes, ${ACCESSES[operand.access]}`,
    })),
  ]
}

const LEGACY = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]

/** Returns where the opcode begins: at the escape bytes 0F, 0F 38 or 0F 3A, which are absent after VEX and similar prefixes. */
function escapeOf(bytes: Uint8Array, lastOpcodeByte: number, mode: 16 | 32 | 64): number {
  let at = 0
  while (at < lastOpcodeByte && LEGACY.includes(bytes[at]!)) at++
  // REX
  if (mode === 64 && at < lastOpcodeByte && bytes[at]! >> 4 === 4) at++
  return bytes[at] === 0x0f ? at : lastOpcodeByte
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
