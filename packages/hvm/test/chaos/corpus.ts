/** One encoding, and some more, of every form that can touch memory or ports. */
import { codes, decodeInto, DECODED, Instruction, MODE_16, MODE_32, MODE_64, OperandKind } from '@retrap/x86-decoder'
import type { CodeInfo } from '@retrap/x86-decoder'
import { modelOf } from '@retrap/x86-cpu'
import { PORT } from './layout.ts'

/** An instruction, and the form that it is of. */
export interface Entry {
  readonly form: string
  readonly bytes: Uint8Array
  /** Bytes of its memory operand, or as many as are likely. */
  readonly size: number
  /** Bytes of its operand size. */
  readonly word: number
}

type Bits = 16 | 32 | 64

const MODE_BITS = { 16: MODE_16, 32: MODE_32, 64: MODE_64 } as const
const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]
const MANDATORY: Readonly<Record<string, readonly number[]>> = { '66': [0x66], F3: [0xf3], F2: [0xf2] }
const VEX_PREFIX: Readonly<Record<string, number>> = { '66': 1, F3: 2, F2: 3 }
/** Bytes of immediates and displacements, by operand kind; the rest have none. */
const IMMEDIATE_BYTES = new Map<number, number>([
  [OperandKind.IMM8, 1],
  [OperandKind.IMM8_SX, 1],
  [OperandKind.IMM8_SECOND, 1],
  [OperandKind.IMM16, 2],
  [OperandKind.IMM32, 4],
  [OperandKind.IMM32_SX, 4],
  [OperandKind.IMM64, 8],
  [OperandKind.REL8, 1],
  [OperandKind.REL16, 2],
  [OperandKind.REL32, 4],
  [OperandKind.XMM_IS4, 1],
])
const IMPLICIT =
  /^(PUSH|POP|CALL|RET|IRET|ENTER|LEAVE|INT|INTO|IN|OUT|INS|OUTS|MOVS|CMPS|STOS|LODS|SCAS|XLAT|MASKMOV|JMPF|BOUND|SYSRET|SYSCALL|SYSENTER|SYSEXIT|MONITOR)/

/** Places in an instruction that depend on where memory is: [BX], [BX+disp8], a SIB byte, 67. */
const VARIANTS = 5

/** What the vCPU has: `max`, or what the model `everything` has beyond it. */
export type Choices = 'max' | 'extended'

/** The XSAVE family and gathers are not new, but do more where there are more registers. */
const GROWN = /^XSAVE|^XRSTOR|^VP?GATHER|^VP?MASKMOV/

const { features: inMax } = modelOf('max')

function isOf(choices: Choices, has: ReadonlySet<string>, { encoding, feature, mnemonic }: CodeInfo): boolean {
  if (choices === 'max') return encoding !== 'evex'
  if (GROWN.test(mnemonic)) return true
  const needed = feature.split('+')
  return !feature.startsWith('APX') && needed.every((one) => has.has(one)) && needed.some((one) => !inMax.has(one))
}

const SMALL = [1, 3, 0x20, 0x40, 7]

function touchesMemory(info: CodeInfo): boolean {
  if (info.memory !== 'never' || info.operands.some((o) => o.memorySize > 0)) return true
  return IMPLICIT.test(info.mnemonic) || info.operands.some((o) => o.kind === OperandKind.MOFFS)
}

function encode(info: CodeInfo, bits: Bits, variant: number, absolute: number): Uint8Array {
  const long = bits === 64
  const prefixes: number[] = []
  let rex = 0
  const { operandSize, sizeClass, encoding, default64, force64, extension } = info
  const evex = encoding === 'evex'
  const vex = encoding === 'vex' || evex
  if (vex) rex = sizeClass === 'y' ? (operandSize === 64 ? 8 : 0) : info.vexW === 1 ? 8 : 0
  else if (sizeClass === 'y') rex = operandSize === 64 && !default64 ? 8 : 0
  else if (sizeClass !== '') {
    if (operandSize === 16 ? bits !== 16 : operandSize === 32 && bits === 16) prefixes.push(0x66)
    if (operandSize === 64 && !default64 && !force64) rex = 8
  }
  const otherAddresses = variant === 3
  if (info.addressSize !== 0 ? info.addressSize !== bits : otherAddresses) prefixes.push(0x67)
  const sixteen = prefixes.includes(0x67) ? bits === 32 : bits === 16
  if (info.repeat !== 'none' && variant > 0) prefixes.push(info.repeat === 'repe' && variant === 2 ? 0xf2 : 0xf3)
  if (info.lockable && variant === 1) prefixes.push(0xf0)
  const modrm: number[] = []
  if (info.modrm) {
    // Registers 1 to 3 hold counts, ports and data; 3 is the address.
    const reg =
      extension >= 0
        ? extension
        : info.operands.some((o) => o.kind === OperandKind.SEGMENT_REG)
          ? 3
          : ([0, 1, 2, 6, 7][variant % 5] as number)
    const vsib = info.operands.some((o) => o.kind === OperandKind.VSIB)
    if (info.modrmByte >= 0) modrm.push(info.modrmByte)
    else if (info.memory === 'never') modrm.push(0xc0 | (reg << 3) | 3)
    else if (vsib) modrm.push((reg << 3) | 4, 0x03 | (5 << 3) | (evex ? (variant & 3) << 6 : 0))
    // Rows of tiles are eight times RCX apart.
    else if (info.sib) modrm.push((reg << 3) | 4, 0xcb)
    else if (sixteen) modrm.push(...(variant === 2 ? [0x47 | (reg << 3), 1] : [(reg << 3) | 7]))
    else if (variant === 2) modrm.push(0x43 | (reg << 3), 1)
    else if (variant === 4) modrm.push((reg << 3) | 4, 0x23)
    else modrm.push((reg << 3) | 3)
  }
  const immediate: number[] = []
  for (const { kind, size } of info.operands) {
    const bytes = IMMEDIATE_BYTES.get(kind) ?? 0
    // ENTER's level and shift counts stay small; branches go a little forward, to HLT.
    const port = info.mnemonic === 'IN' || info.mnemonic === 'OUT' ? PORT : 0
    for (let i = 0; i < bytes; i++) immediate.push(i === 0 ? port + (SMALL[variant] as number) : 0)
    if (kind === OperandKind.FAR_POINTER) immediate.push(...new Array<number>(size - 2).fill(0), 0x0b, 0)
    if (kind === OperandKind.MOFFS) {
      const width = long && !prefixes.includes(0x67) ? 8 : sixteen ? 2 : 4
      const at = bits === 16 ? absolute & 0xffff : absolute
      for (let i = 0; i < width; i++) immediate.push(i < 4 ? (at >>> (8 * i)) & 0xff : 0)
    }
  }
  const opcode = info.opcodeRegister ? info.opcode | (info.mnemonic === 'BSWAP' ? 3 : 0) : info.opcode
  if (vex) {
    const last = ((rex & 8) << 4) | (13 << 3) | (info.vexL === 1 ? 4 : 0) | (VEX_PREFIX[info.prefix] ?? 0)
    const usesVvvv = info.operands.some((o) => o.kind === OperandKind.VVVV_REG || o.kind === OperandKind.XMM_VVVV)
    return Uint8Array.from([
      ...prefixes.filter((p) => p !== 0x66),
      ...(evex
        ? [0x62, 0xf0 | info.map, (usesVvvv ? last : last | 0x78) | 4, underMask(info, variant), opcode]
        : [0xc4, 0xe0 | info.map, usesVvvv ? last : last | 0x78, opcode]),
      ...[...modrm, ...immediate],
    ])
  }
  return Uint8Array.from([
    ...prefixes,
    ...(MANDATORY[info.prefix] ?? []),
    ...(rex === 0 ? [] : [0x40 | rex]),
    ...(ESCAPES[info.map] ?? []),
    ...[opcode, ...modrm, ...immediate],
  ])
}

/** The last byte of EVEX before the opcode: length, mask, zeroing and broadcast, which variants differ by. */
function underMask({ masking, broadcast, vexL, operands }: CodeInfo, variant: number): number {
  const mask = masking === 'none' ? 0 : masking === 'required' ? 1 + variant : (variant + 1) % VARIANTS
  const zeroes = masking === 'zero' && mask > 0 && variant % 2 === 1 && operands[0]!.kind === OperandKind.XMM_REG
  const repeats = broadcast > 0 && variant === 2
  return (zeroes ? 0x80 : 0) | (Math.max(0, vexL) << 5) | (repeats ? 0x10 : 0) | 8 | mask
}

function operandSizeOf(info: CodeInfo, bits: Bits): number {
  return info.operandSize === 0 ? Math.min(bits, 32) : info.operandSize
}

/**
 * What can be executed in code of a width. Encodings that another row of the opcode map claims are left out; every form
 * that touches memory or ports is in, and nothing is left out for what it does.
 *
 * @param absolute - address for the forms that have one in the instruction
 */
export function corpus(bits: Bits, absolute: number, choices: Choices = 'max'): readonly (readonly Entry[])[] {
  const forms: Entry[][] = []
  const { features } = modelOf(choices === 'max' ? 'max' : 'everything')
  const insn = new Instruction()
  for (const info of codes) {
    if ((info.modes & MODE_BITS[bits]) === 0 || info.encoding === 'xop' || !touchesMemory(info)) continue
    if (!isOf(choices, features, info) || (info.map > 3 && info.encoding !== 'evex')) continue
    if (bits === 64 && info.force64 && info.operandSize !== 64) continue
    const seen = new Map<string, Entry>()
    for (let variant = 0; variant < VARIANTS; variant++) {
      const bytes = encode(info, bits, variant, absolute)
      if (decodeInto(bytes, 0, bytes.length, bits, insn) !== DECODED) continue
      if (insn.length !== bytes.length || insn.code !== info.code) continue
      const size = Math.max(1, ...info.operands.map((o) => o.memorySize))
      seen.set(Buffer.from(bytes).toString('hex'), {
        form: info.form,
        bytes,
        size,
        word: operandSizeOf(info, bits) >>> 3,
      })
    }
    if (seen.size > 0) forms.push([...seen.values()])
  }
  return forms
}
