import {
  OperandKind,
  PREFIX_REP,
  PREFIX_REPNE,
  PREFIX_REPNE_LAST,
  REGISTER_HIGH_BYTE,
  REGISTER_RIP,
  SEGMENT_FS,
  codeInfo,
  operandIsMemory,
  operandRegister,
} from '@retrap/x86-decoder'
import type { CodeInfo, Instruction, OperandSpec } from '@retrap/x86-decoder'
import {
  ADDRESS_16,
  ADDRESS_32,
  ADDRESS_CHECKED,
  ADDRESS_DISP64,
  ADDRESS_SEGMENT,
  OP_SYSTEM,
  R_ADDRESS,
  R_BASE,
  R_DISP,
  R_FUNCTION,
  R_IMM,
  R_INDEX,
  R_LENGTH,
  R_OFFSET,
  R_OP,
  R_REG0,
  R_REG2,
  R_SCALE,
  R_SEGMENT,
  SEGMENT_LINK,
} from './record.ts'
import type { Form, FormOperand, OperandKind as FormKind, Repeat } from './semantics/form.ts'
import {
  SEG_BYTES,
  S_CR0,
  S_CR2,
  S_CR3,
  S_CR4,
  S_CR8,
  S_DR,
  S_FPR,
  S_GPR,
  S_PAGE_BASE,
  S_SEGMENTS,
  S_TWO_TO_28,
  S_XMM,
  S_ZERO,
} from './state-layout.ts'

/** Mnemonics whose behaviour depends on 64-bit mode beyond their operand size. */
const LONG_SENSITIVE = /^(PUSH(FQ)?|POP(FQ)?|CALL|RET|JMP|LEAVE|J[A-Z]+|LOOP.*)$/
const LOOPS = /^LOOP/

/** What distinguishes the forms of one code. */
interface Variant {
  readonly memory: boolean
  readonly long: boolean
  /** Bytes. */
  readonly addressSize: number
  readonly repeat: Repeat
  readonly inPage: 'no' | 'back' | 'forward'
}

function isString(info: CodeInfo): boolean {
  return info.operands.some((o) => o.kind === OperandKind.STRING_SOURCE || o.kind === OperandKind.STRING_DESTINATION)
}

function isRelative(kind: number): boolean {
  return kind === OperandKind.REL8 || kind === OperandKind.REL16 || kind === OperandKind.REL32
}

function operandOf(spec: OperandSpec, info: CodeInfo, variant: Variant): FormOperand {
  const size = info.operandSize >> 3
  const memory = (): FormOperand => ({
    kind: 'mem',
    size: spec.memorySize,
    access: spec.access.replace('c', '') as 'r' | 'w' | 'rw' | 'n',
  })
  const register = (kind: FormKind): FormOperand => ({ kind, size: spec.size })
  switch (spec.kind) {
    case OperandKind.REG:
    case OperandKind.RM_REG:
    case OperandKind.OPCODE_REG:
    case OperandKind.VVVV_REG:
    case OperandKind.FIXED_REG:
      return register('reg')
    case OperandKind.RM:
      return variant.memory ? memory() : register('reg')
    case OperandKind.MEM:
    case OperandKind.MOFFS:
    case OperandKind.XLAT:
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
      return memory()
    case OperandKind.MMX_REG:
    case OperandKind.MMX_RM_REG:
      return register('mmx')
    case OperandKind.MMX_RM:
      return variant.memory ? memory() : register('mmx')
    case OperandKind.XMM_REG:
    case OperandKind.XMM_RM_REG:
    case OperandKind.XMM_VVVV:
    case OperandKind.XMM_IS4:
    case OperandKind.XMM_FIXED:
      return register('xmm')
    case OperandKind.XMM_RM:
      return variant.memory ? memory() : register('xmm')
    case OperandKind.VSIB:
      return { kind: 'vsib', size: spec.size, access: 'r' }
    case OperandKind.ST0:
      return { kind: 'st0', size: 10 }
    case OperandKind.STI:
      return { kind: 'st', size: 10 }
    case OperandKind.SEGMENT_REG:
    case OperandKind.FIXED_SEGMENT:
    case OperandKind.CONTROL_REG:
    case OperandKind.DEBUG_REG:
      return register('system')
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
    default:
      return { kind: 'imm', size: spec.size }
  }
}

/**
 * Vector instructions that do the same, under names that say what the elements are supposed to be: all use the code of the
 * first. The names are without the V that VEX puts before them.
 */
const SYNONYMS: readonly (readonly string[])[] = [
  ['MOVAPS', 'MOVAPD', 'MOVDQA', 'MOVNTPS', 'MOVNTPD', 'MOVNTDQ', 'MOVNTDQA'],
  ['MOVUPS', 'MOVUPD', 'MOVDQU', 'LDDQU'],
  ['MOVLPS', 'MOVLPD'],
  ['MOVHPS', 'MOVHPD'],
  ['PAND', 'ANDPS', 'ANDPD'],
  ['PANDN', 'ANDNPS', 'ANDNPD'],
  ['POR', 'ORPS', 'ORPD'],
  ['PXOR', 'XORPS', 'XORPD'],
  ['PUNPCKLDQ', 'UNPCKLPS'],
  ['PUNPCKHDQ', 'UNPCKHPS'],
  ['PUNPCKLQDQ', 'UNPCKLPD'],
  ['PUNPCKHQDQ', 'UNPCKHPD'],
  ['BLENDPS', 'PBLENDD'],
  ['PERMD', 'PERMPS'],
  ['PERMQ', 'PERMPD'],
  ['PERM2F128', 'PERM2I128'],
  ['INSERTF128', 'INSERTI128'],
  ['EXTRACTF128', 'EXTRACTI128'],
  ['BROADCASTF128', 'BROADCASTI128'],
  ['BROADCASTSS', 'PBROADCASTD'],
  ['BROADCASTSD', 'PBROADCASTQ'],
]

const FIRST_NAME: ReadonlyMap<string, string> = new Map(
  SYNONYMS.flatMap(([first = '', ...others]) =>
    others.flatMap((other): [string, string][] => [
      [other, first],
      [`V${other}`, `V${first}`],
    ]),
  ),
)

/** The form of a code; equal forms of different codes have equal keys. */
export function formOf(info: CodeInfo, variant: Variant): Form {
  const string = isString(info)
  const sensitive = string || LONG_SENSITIVE.test(info.mnemonic)
  const operands = string ? [] : info.operands.map((spec) => operandOf(spec, info, variant))
  const size = string
    ? Math.max(...info.operands.map((o) => o.memorySize))
    : info.operandSize > 0
      ? info.operandSize >> 3
      : (operands[0]?.size ?? 0)
  return {
    mnemonic: FIRST_NAME.get(info.mnemonic) ?? info.mnemonic,
    size,
    operands,
    long: sensitive && variant.long,
    vex: info.encoding === 'vex',
    lock: false,
    repeat: string ? variant.repeat : 'none',
    addressSize: string || LOOPS.test(info.mnemonic) || info.mnemonic.startsWith('MASKMOV') ? variant.addressSize : 0,
  }
}

/** Whether an operation reads or writes string operands: MOVSD and CMPSD are two instructions each. */
export function isStringForm(info: CodeInfo): boolean {
  return isString(info)
}

/** Every variant that decoding can come to, for generating code ahead of time. */
export function* variantsOf(info: CodeInfo): Generator<Variant> {
  const string = isString(info)
  const relative = info.operands.some((o) => isRelative(o.kind))
  const modes = string || LONG_SENSITIVE.test(info.mnemonic) ? [false, true] : [false]
  const repeats: Repeat[] = string ? (info.repeat === 'repe' ? ['none', 'repe', 'repne'] : ['none', 'rep']) : ['none']
  const canBeMemory = info.memory !== 'never' && info.operands.some((o) => MODRM_MEMORY.has(o.kind))
  const canBeRegister = info.memory !== 'only'
  for (const long of modes) {
    if (long && (info.modes & 4) === 0) continue
    if (!long && modes.length > 1 && (info.modes & 3) === 0) continue
    const addressSizes = string || LOOPS.test(info.mnemonic) ? (long ? [4, 8] : [2, 4]) : [0]
    for (const addressSize of addressSizes) {
      for (const repeat of repeats) {
        for (const inPage of relative ? (['no', 'back', 'forward'] as const) : (['no'] as const)) {
          if (canBeMemory) yield { memory: true, long, addressSize, repeat, inPage }
          if (canBeRegister) yield { memory: false, long, addressSize, repeat, inPage }
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
])

/** What a record needs to know of a form. */
export interface LoweredForm {
  readonly form: Form
  readonly op: number
  readonly fn: number
  /** Index of the handler that generated code may leave the instruction to. */
  readonly handler?: number | undefined
}

/** Finds the code for a form: the interpreter's, a TypeScript handler's, or #UD. */
export type FormResolver = (info: CodeInfo, form: Form) => Omit<LoweredForm, 'form'>

/** Typed views of the memory that records are written to. */
export interface RecordViews {
  readonly u8: Uint8Array
  readonly u16: Uint16Array
  readonly u32: Uint32Array
  readonly i32: Int32Array
}

/**
 * Turns decoded instructions into records. Which form an instruction is has been looked up once per code and variant.
 */
export class Lowering {
  readonly #views: RecordViews
  readonly #resolve: FormResolver
  readonly #forms = new Map<number, LoweredForm>()

  constructor(views: RecordViews, resolve: FormResolver) {
    this.#views = views
    this.#resolve = resolve
  }

  /**
   * Writes the record of `insn`.
   *
   * @param at - machine address of the record
   * @param offset - offset of the instruction in its page
   * @returns the form
   */
  write(at: number, insn: Instruction, offset: number): LoweredForm {
    const info = codeInfo(insn.code)
    const long = insn.mode === 64
    const relative = relativeOperand(info)
    // A near branch with a 16-bit operand size wraps within 64 KiB, wherever the segment lies: never static.
    const target = offset + insn.length + insn.immLo
    const fixed =
      relative && (long || info.operandSize === 32) && insn.immHi === insn.immLo >> 31 && target >= 0 && target < 0x1000
    const inPage = !fixed ? 'no' : target > offset ? 'forward' : 'back'
    const lowered = this.#lookUp(info, insn, long, inPage)
    const { u8, u16 } = this.#views
    u16[(at + R_OP) >>> 1] = lowered.op
    u16[(at + R_OFFSET) >>> 1] = offset
    u16[(at + R_FUNCTION) >>> 1] = lowered.fn
    u8[at + R_LENGTH] = insn.length
    u8[at + R_SEGMENT] = inPage === 'no' ? insn.segment : SEGMENT_LINK
    this.#writeAddress(at, insn, offset, info, long)
    if (lowered.handler !== undefined) this.#views.i32[(at + R_DISP) >>> 2] = lowered.handler
    for (let i = 0; i < info.operands.length && i < 3; i++) {
      u16[(at + R_REG0 + 2 * i) >>> 1] = registerOffset(insn, info.operands[i] as OperandSpec, i)
    }
    // The x87 opcode: eleven bits of the escape's two bytes, where no instruction of the unit has a third operand.
    if (info.map === 0 && (info.opcode & 0xf8) === 0xd8) {
      u16[(at + R_REG2) >>> 1] = ((info.opcode & 7) << 8) | (insn.mod << 6) | ((insn.reg & 7) << 3) | (insn.rm & 7)
    }
    this.#writeImmediate(at, insn, offset, info, lowered, { long, inPage: inPage !== 'no', relative })
    return lowered
  }

  #writeAddress(at: number, insn: Instruction, offset: number, info: CodeInfo, long: boolean): void {
    const { u8, u16, i32 } = this.#views
    let kind = long ? 0 : ADDRESS_CHECKED
    if (insn.isMemory !== 0) {
      if (long && insn.segment >= SEGMENT_FS) kind |= ADDRESS_SEGMENT
      if (insn.addressSize === 32) kind |= ADDRESS_32
      if (insn.addressSize === 16) kind |= ADDRESS_16
    }
    let base = insn.base < 0 ? S_ZERO : S_GPR + 8 * insn.base
    let index = insn.index < 0 || isVsib(info) ? S_ZERO : S_GPR + 8 * insn.index
    let scale = insn.scale
    let disp = insn.dispLo
    if (insn.base === REGISTER_RIP) {
      base = S_PAGE_BASE
      const wide = insn.dispLo + offset + insn.length
      disp = wide
      if (wide > 0x7fff_ffff) {
        disp = wide - 0x8000_0000
        index = S_TWO_TO_28
        scale = 3
      }
    } else if (info.mnemonic === 'POP' && insn.base === 4 && insn.isMemory !== 0) {
      // The address of POP's operand is computed after the stack pointer has moved (SDM vol. 2B, POP).
      disp = (disp + (info.operandSize >> 3)) | 0
    }
    if (insn.dispHi !== insn.dispLo >> 31 && insn.addressSize === 64) kind |= ADDRESS_DISP64
    u8[at + R_ADDRESS] = kind
    u16[(at + R_BASE) >>> 1] = base
    u16[(at + R_INDEX) >>> 1] = index
    u8[at + R_SCALE] = scale
    i32[(at + R_DISP) >>> 2] = disp
  }

  #writeImmediate(
    at: number,
    insn: Instruction,
    offset: number,
    info: CodeInfo,
    { form, op }: LoweredForm,
    branch: { readonly long: boolean; readonly inPage: boolean; readonly relative: boolean },
  ): void {
    const { u8, i32 } = this.#views
    let lo = insn.immLo
    let hi = insn.immHi
    if (branch.relative) {
      if (branch.inPage) {
        lo = (offset + insn.length + insn.immLo) << 2
        hi = 0
      } else if (branch.long) {
        const wide = insn.immLo + offset + insn.length
        lo = wide | 0
        hi = Math.floor(wide / 0x1_0000_0000)
      }
    } else {
      const immediate = form.operands.findIndex((o) => o.kind === 'imm')
      const spec = info.operands[immediate]
      if (spec?.kind === OperandKind.ONE) {
        lo = 1
        hi = 0
      } else if (spec !== undefined && !TWO_IMMEDIATES.has(info.mnemonic) && op !== OP_SYSTEM) {
        const size = form.operands[immediate]?.size ?? 8
        if (size === 1) lo = (lo << 24) >> 24
        // RET's count is unsigned.
        else if (size === 2 && form.operands.length > 1) lo = (lo << 16) >> 16
        if (size < 8) hi = size === 2 && form.operands.length === 1 ? 0 : lo >> 31
      } else if (TWO_IMMEDIATES.has(info.mnemonic)) hi = insn.imm2
      // A fourth register operand has the place of the immediate that it is encoded in.
      if (info.operands[3]?.kind === OperandKind.XMM_IS4) lo = registerOffset(insn, info.operands[3], 3)
      const st = form.operands.findLastIndex((o) => o.kind === 'st')
      if (st >= 0 && insn.isMemory === 0) {
        lo = insn.rm & 7
        hi = 0
      }
    }
    if (((u8[at + R_ADDRESS] as number) & ADDRESS_DISP64) !== 0) {
      lo = insn.dispLo
      hi = insn.dispHi
    }
    i32[(at + R_IMM) >>> 2] = lo
    i32[(at + R_IMM + 4) >>> 2] = hi
  }

  #lookUp(info: CodeInfo, insn: Instruction, long: boolean, inPage: Variant['inPage']): LoweredForm {
    const string = isString(info)
    const repeat = string ? repeatOf(insn, info) : 'none'
    const memory = insn.isMemory !== 0
    const key =
      ((info.code * 2 + (memory ? 1 : 0)) * 2 + (long ? 1 : 0)) * 64 +
      REPEATS.indexOf(repeat) * 16 +
      (insn.addressSize >> 5) * 4 +
      (inPage === 'no' ? 0 : inPage === 'back' ? 1 : 2)
    let lowered = this.#forms.get(key)
    if (lowered === undefined) {
      const form = formOf(info, { memory, long, addressSize: insn.addressSize >> 3, repeat, inPage })
      lowered = { form, ...this.#resolve(info, form) }
      this.#forms.set(key, lowered)
    }
    return lowered
  }
}

const REPEATS: readonly Repeat[] = ['none', 'rep', 'repe', 'repne']
const TWO_IMMEDIATES: ReadonlySet<string> = new Set(['ENTER', 'CALLF', 'JMPF', 'EXTRQ', 'INSERTQ'])

function isVsib(info: CodeInfo): boolean {
  return info.operands[1]?.kind === OperandKind.VSIB
}

function relativeOperand(info: CodeInfo): boolean {
  return info.operands.length > 0 && isRelative((info.operands[0] as OperandSpec).kind)
}

function repeatOf(insn: Instruction, info: CodeInfo): Repeat {
  const rep = (insn.prefixes & PREFIX_REP) !== 0
  const repne = (insn.prefixes & PREFIX_REPNE) !== 0
  if (!rep && !repne) return 'none'
  if (info.repeat !== 'repe') return 'rep'
  if (rep && repne) return (insn.prefixes & PREFIX_REPNE_LAST) !== 0 ? 'repne' : 'repe'
  return rep ? 'repe' : 'repne'
}

const CONTROL_OFFSETS: Readonly<Record<number, number>> = { 0: S_CR0, 2: S_CR2, 3: S_CR3, 4: S_CR4, 8: S_CR8 }

/** State offset of the register that an operand names; 0 for memory and immediates. */
function registerOffset(insn: Instruction, spec: OperandSpec, i: number): number {
  if (spec.kind === OperandKind.VSIB) return S_XMM + 64 * insn.index
  if (operandIsMemory(insn, i)) return 0
  const register = operandRegister(insn, i)
  switch (spec.kind) {
    case OperandKind.REG:
    case OperandKind.RM:
    case OperandKind.RM_REG:
    case OperandKind.OPCODE_REG:
    case OperandKind.VVVV_REG:
    case OperandKind.FIXED_REG:
      return register >= REGISTER_HIGH_BYTE ? S_GPR + 8 * (register - REGISTER_HIGH_BYTE - 4) + 1 : S_GPR + 8 * register
    case OperandKind.SEGMENT_REG:
    case OperandKind.FIXED_SEGMENT:
      return S_SEGMENTS + SEG_BYTES * register
    case OperandKind.CONTROL_REG:
      return CONTROL_OFFSETS[register] ?? S_CR0
    case OperandKind.DEBUG_REG:
      return S_DR + 8 * register
    case OperandKind.MMX_REG:
    case OperandKind.MMX_RM:
    case OperandKind.MMX_RM_REG:
      return S_FPR + 16 * (register & 7)
    case OperandKind.XMM_REG:
    case OperandKind.XMM_RM:
    case OperandKind.XMM_RM_REG:
    case OperandKind.XMM_VVVV:
    case OperandKind.XMM_IS4:
    case OperandKind.XMM_FIXED:
      return S_XMM + 64 * register
    default:
      return 0
  }
}
