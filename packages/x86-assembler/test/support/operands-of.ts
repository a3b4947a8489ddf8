// A decoded instruction's operands, as the assembler takes them.
import * as decoder from '@retrap/x86-decoder'
import type { Instruction } from '@retrap/x86-decoder'
import * as x86 from '../../src/index.ts'
import type {
  AddressRegister,
  IndexRegister,
  MaskableRegister,
  MaskRegister,
  Memory,
  MemoryOptions,
  Operand,
  Place,
  RegisterClass,
  Rounding,
} from '../../src/index.ts'
import type { Form, Slot } from '../../src/form.ts'
import { formOfCode } from '../../src/forms.ts'

function pair(lo: number, hi: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo >>> 0)
}

function register(kind: RegisterClass, number: number): Operand {
  const high = kind === 'xmm' ? 'xmmHigh' : kind === 'ymm' ? 'ymmHigh' : kind
  const found =
    number >= decoder.REGISTER_HIGH_BYTE
      ? x86.registerOf('gp8High', number - decoder.REGISTER_HIGH_BYTE)
      : x86.registerOf(number > 15 ? high : kind, number)
  if (found === undefined) throw new Error(`there is no ${kind} ${number}`)
  return found
}

function memory(insn: Instruction, address: number, vector?: 'xmm' | 'ymm' | 'zmm'): Memory {
  const kind = insn.addressSize === 16 ? 'gp16' : insn.addressSize === 32 ? 'gp32' : 'gp64'
  const options: { -readonly [Key in keyof MemoryOptions]: MemoryOptions[Key] } = {
    addressBits: insn.addressSize as 16 | 32 | 64,
  }
  const segment = insn.segmentOverride < 0 ? undefined : x86.registerOf('segment', insn.segmentOverride)
  if (segment !== undefined) options.segment = segment
  const disp = pair(insn.dispLo, insn.dispHi)
  let place: Place
  if (insn.base === decoder.REGISTER_RIP) place = x86.rip(BigInt(address + insn.length) + disp)
  else if (insn.base < 0) place = x86.abs(disp)
  else {
    place = x86.registerOf(kind, insn.base) as AddressRegister
    options.disp = disp
  }
  if (insn.index >= 0) {
    options.index = register(vector ?? kind, insn.index) as IndexRegister
    options.scale = (1 << insn.scale) as 1 | 2 | 4 | 8
  }
  // The code says the size.
  return x86.ptr(place, options)
}

function operandOf(slot: Slot, index: number, form: Form, insn: Instruction, address: number): Operand {
  switch (slot.kind) {
    case 'register':
    case 'fixed':
      return register(slot.class, decoder.operandRegister(insn, index))
    case 'rm': {
      if (!decoder.operandIsMemory(insn, index)) return register(slot.class, decoder.operandRegister(insn, index))
      const found = memory(insn, address)
      return insn.broadcast ? found.bcst((slot.size / form.broadcast) as 2 | 4 | 8 | 16 | 32) : found
    }
    case 'memory':
      return memory(insn, address, slot.index)
    case 'moffs':
      return memory(insn, address)
    case 'implied': {
      const kind = insn.addressSize === 16 ? 'gp16' : insn.addressSize === 32 ? 'gp32' : 'gp64'
      const segment = insn.segmentOverride < 0 ? undefined : x86.registerOf('segment', insn.segmentOverride)
      const place = x86.registerOf(kind, slot.base) as AddressRegister
      return x86.ptr(place, slot.overridable && segment !== undefined ? { segment } : {})
    }
    case 'one':
      return 1
    case 'immediate': {
      const isSecond = insn.immSize > slot.size && index === form.slots.length - 1
      const value = isSecond ? BigInt(insn.imm2) : pair(insn.immLo, insn.immHi)
      return slot.extendTo === 0 ? BigInt.asUintN(slot.size * 8, value) : value
    }
    case 'nibble':
      return insn.immLo & 15
    case 'absolute':
      return decoder.branchTarget(insn, 0n)
    case 'flags':
      return x86.dfv(...(['cf', 'zf', 'sf', 'of'] as const).filter((_, bit) => (insn.imm2 & (1 << bit)) !== 0))
    case 'relative':
      return decoder.branchTarget(insn, BigInt(address))
    case 'far': {
      const make = slot.bits === 16 ? x86.far16 : x86.far32
      return make(insn.imm2, BigInt.asUintN(slot.bits, pair(insn.immLo, insn.immHi)))
    }
  }
}

/** By `Instruction.rounding`. */
const ROUNDINGS: readonly (Rounding | undefined)[] = [undefined, x86.rnSae, x86.rdSae, x86.ruSae, x86.rzSae, x86.sae]

/** The destination under the mask that EVEX names. */
function underMask(operand: Operand, insn: Instruction): Operand {
  if (insn.maskRegister === 0 || typeof operand !== 'object') return operand
  const mask = x86.registerOf('mask', insn.maskRegister) as MaskRegister
  if (operand.type === 'memory') return operand.k(mask)
  const masked = (operand as MaskableRegister).k(mask)
  return insn.zeroing ? masked.z() : masked
}

/** The operands of `insn`, which stands at `address`, for `Assembler.form(insn.code, …)`. */
export function operandsOf(insn: Instruction, address: number): Operand[] {
  const form = formOfCode(insn.code)
  if (form === undefined) throw new Error(`no form ${decoder.codes[insn.code]?.form}`)
  const operands = form.slots.map((slot, index) => {
    const operand = operandOf(slot, index, form, insn, address)
    return index === 0 ? underMask(operand, insn) : operand
  })
  const rounding = ROUNDINGS[insn.rounding]
  if (rounding !== undefined) {
    operands.splice(form.slots.filter(({ kind }) => kind !== 'immediate').length, 0, rounding)
  }
  return operands
}

const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]

/** Assembles a decoded instruction again, in the same form, without prefixes that have no meaning to it. */
export function reassemble(insn: Instruction, address: number, bits: 16 | 32 | 64): Uint8Array {
  const asm = new x86.Assembler({ bits, address })
  const form = formOfCode(insn.code)
  if ((insn.prefixes & decoder.PREFIX_LOCK) !== 0) asm.lock()
  if (form?.repeatable === true) {
    if ((insn.prefixes & decoder.PREFIX_REP) !== 0) asm.rep()
    else if ((insn.prefixes & decoder.PREFIX_REPNE) !== 0) asm.repne()
  }
  if (insn.noFlags && form?.noFlags === 'possible') asm.nf()
  // MASKMOVQ and the like find their memory without an operand.
  if (insn.segmentOverride >= 0 && !form?.slots.some(({ kind }) => /^(rm|memory|moffs|implied)$/.test(kind))) {
    asm.prefix(SEGMENT_PREFIXES[insn.segmentOverride] ?? 0)
  }
  // What has no memory operand to tell it: LOOP, JRCXZ.
  asm.addressSize(insn.addressSize as 16 | 32 | 64)
  return asm.form(insn.code, ...operandsOf(insn, address)).assemble().bytes
}
