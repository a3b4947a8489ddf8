import { OperandKind, REGISTER_KINDS, type CodeInfo, type OperandClass, type OperandSpec } from '@retrap/x86-decoder'
import type { Form, FormOperand, OperandKind as FormKind, Repeat } from '../state/form.ts'

/** Mnemonics whose behaviour depends on 64-bit mode beyond their operand size. */
const LONG_SENSITIVE = /^(PUSH(FQ)?P?|POP(FQ)?P?|CALL|RET|JMP|LEAVE|J[A-Z]+|LOOP.*|LAHF|SAHF)$/
/** Mnemonics whose handlers compute an address by themselves. */
const ADDRESSING = /^(MASKMOV|MONITOR$)/

/** The facts that distinguish the forms of one code. */
export interface Variant {
  readonly memory: boolean
  readonly long: boolean
  /** Bytes. */
  readonly addressSize: number
  readonly repeat: Repeat
  readonly inPage: 'no' | 'back' | 'forward'
  /** EVEX.NF. */
  readonly noFlags: boolean
  /** The LOCK prefix. */
  readonly lock: boolean
}

/** Whether an operation reads or writes string operands: MOVSD and CMPSD are two instructions each. */
export function isStringForm(info: CodeInfo): boolean {
  return info.operands.some(isStringOperand)
}

function isStringOperand({ kind }: OperandSpec): boolean {
  return kind === OperandKind.STRING_SOURCE || kind === OperandKind.STRING_DESTINATION
}

/** Whether an operand is a branch target, relative to the next instruction. */
export function isRelative(kind: number): boolean {
  return kind === OperandKind.REL8 || kind === OperandKind.REL16 || kind === OperandKind.REL32
}

/** Kinds of registers by class. */
const REGISTERS: { readonly [Class in OperandClass]?: FormKind } = {
  general: 'reg',
  mmx: 'mmx',
  vector: 'xmm',
  mask: 'mask',
  segment: 'system',
  control: 'system',
  debug: 'system',
}

function operandOf(spec: OperandSpec, info: CodeInfo, variant: Variant): FormOperand {
  const size = info.operandSize >> 3
  const memory = (): FormOperand => ({
    kind: 'mem',
    size: spec.memorySize,
    access: spec.access.replace('c', '') as 'r' | 'w' | 'rw' | 'n',
  })
  switch (spec.kind) {
    case OperandKind.MEM:
    case OperandKind.MOFFS:
    case OperandKind.XLAT:
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
      return memory()
    case OperandKind.VSIB:
      return { kind: 'vsib', size: spec.size, access: 'r' }
    case OperandKind.ST0:
      return { kind: 'st0', size: 10 }
    case OperandKind.STI:
      return { kind: 'st', size: 10 }
    case OperandKind.REL8:
    case OperandKind.REL16:
    case OperandKind.REL32:
      return { kind: { no: 'rel', back: 'relp', forward: 'relf' }[variant.inPage] as FormKind, size }
    case OperandKind.IMM8_SX:
    case OperandKind.IMM32_SX:
    case OperandKind.IMM32:
    case OperandKind.IMM16:
      // An immediate of an ALU operation is as wide as the operation; RET's and ENTER's are 16 bits, zero-extended.
      return { kind: 'imm', size: info.operands.length > 1 || info.mnemonic === 'PUSH' ? size : 2 }
    case OperandKind.ONE:
      return { kind: 'imm', size: 1 }
    case OperandKind.DFV:
      return { kind: 'flags', size: 0 }
    default: {
      const [registerClass = 'bound', place] = REGISTER_KINDS[spec.kind] ?? []
      const kind = REGISTERS[registerClass]
      if (kind === undefined) return { kind: 'imm', size: spec.size }
      return place === 'rm' && variant.memory ? memory() : { kind, size: spec.size }
    }
  }
}

/** Whether the operation depends on 64-bit mode. */
const isLongSensitive = (info: CodeInfo): boolean => isStringForm(info) || LONG_SENSITIVE.test(info.mnemonic)

/** LOOP, LOOPE and LOOPNE, which count in a register of the address size. */
const isLoop = ({ map, opcode, flow }: CodeInfo): boolean =>
  map === 0 && flow === 'branch' && opcode >= 0xe0 && opcode <= 0xe2

/** The form of a code; equal forms of different codes have equal keys. */
export function formOf(info: CodeInfo, variant: Variant): Form {
  const string = isStringForm(info)
  const operands = string ? [] : info.operands.map((spec) => operandOf(spec, info, variant))
  // INS and OUTS have DX beside the element, which may be narrower.
  const size = string
    ? (info.operands.find(isStringOperand)?.memorySize ?? 0)
    : info.operandSize > 0
      ? info.operandSize >> 3
      : (operands[0]?.size ?? 0)
  return {
    // Of APX, forms with zeroed upper bits are others than those without.
    mnemonic: info.evexNd < 0 ? info.operation : info.mnemonic,
    size,
    operands,
    long: variant.long && isLongSensitive(info),
    vex: info.encoding === 'vex',
    lock: variant.memory && (variant.lock || info.atomic),
    repeat: string ? variant.repeat : 'none',
    addressSize: string || isLoop(info) || ADDRESSING.test(info.mnemonic) ? variant.addressSize : 0,
    noFlags: variant.noFlags && info.noFlags === 'possible',
  }
}

/** Every variant that decoding can come to, for generating code ahead of time. */
export function* variantsOf(info: CodeInfo): Generator<Variant> {
  const string = isStringForm(info)
  const relative = info.operands.some((o) => isRelative(o.kind))
  const modes = isLongSensitive(info) ? [false, true] : [false]
  const repeats: Repeat[] = string ? (info.repeat === 'repe' ? ['none', 'repe', 'repne'] : ['none', 'rep']) : ['none']
  const canBeMemory = info.memory !== 'never' && info.operands.some((o) => MODRM_MEMORY.has(o.kind))
  const canBeRegister = info.memory !== 'only'
  for (const long of modes) {
    if (long && (info.modes & 4) === 0) continue
    if (!long && modes.length > 1 && (info.modes & 3) === 0) continue
    const addressSizes = string || isLoop(info) ? (long ? [4, 8] : [2, 4]) : [0]
    for (const addressSize of addressSizes) {
      for (const repeat of repeats) {
        for (const inPage of relative ? (['no', 'back', 'forward'] as const) : (['no'] as const)) {
          for (const noFlags of info.noFlags === 'possible' ? [false, true] : [false])
            for (const memory of [true, false])
              for (const lock of memory && info.lockable ? [false, true] : [false])
                if (memory ? canBeMemory : canBeRegister)
                  yield { memory, long, addressSize, repeat, inPage, noFlags, lock }
        }
      }
    }
  }
}

const MODRM_MEMORY: ReadonlySet<number> = new Set([
  OperandKind.RM,
  OperandKind.MEM,
  OperandKind.MMX_RM,
  OperandKind.XMM_RM,
  OperandKind.VSIB,
  OperandKind.MASK_RM,
])
