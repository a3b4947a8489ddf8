import { PAGE_BYTES } from '@retrap/memory'
import {
  codeInfo,
  PREFIX_LOCK,
  PREFIX_REP,
  PREFIX_REPNE,
  PREFIX_REPNE_LAST,
  REGISTER_RIP,
  SEGMENT_FS,
} from '@retrap/x86-decoder'
import type { CodeInfo, Instruction } from '@retrap/x86-decoder'
import { formOf, type Variant } from './code-forms.ts'
import {
  IMMEDIATE_BYTE,
  IMMEDIATE_DOUBLE,
  IMMEDIATE_ONE,
  IMMEDIATE_PLAIN,
  IMMEDIATE_TWO,
  IMMEDIATE_UNSIGNED,
  IMMEDIATE_WORD,
  codePlan,
  lowerForm,
} from './lowered-form.ts'
import type { CodePlan, FormCode, LoweredForm } from './lowered-form.ts'
import * as R from '../state/record.ts'
import { registerOffset } from './register-plan.ts'
import type { Form, Repeat } from '../state/form.ts'
import { generalOffset, S_PAGE_BASE, S_TWO_TO_28, S_ZERO } from '../state/state-layout.ts'

/** Finds the code for a form. */
export type FormResolver = (info: CodeInfo, form: Form) => FormCode

/** The part of lowering that instructions with EVEX need. */
export interface EvexLowering {
  /** Returns the form of a code; undefined of codes that have nothing of EVEX. */
  formOf(info: CodeInfo, variant: Variant): Form | undefined
  /** Writes the fields of a record that EVEX alone has. */
  finish(views: RecordViews, at: number, insn: Instruction): void
}

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
  readonly #evex: EvexLowering | undefined
  /** By code. */
  readonly #plans: (CodePlan | undefined)[] = []

  constructor(views: RecordViews, resolve: FormResolver, evex?: EvexLowering) {
    this.#views = views
    this.#resolve = resolve
    this.#evex = evex
  }

  /**
   * Writes the record of `insn`.
   *
   * @param at - machine address of the record
   * @param offset - offset of the instruction in its page
   * @param isEdge - the page is one of `MODE_16_EDGE`; default false
   * @returns what its form has been lowered to
   */
  write(at: number, insn: Instruction, offset: number, isEdge = false): LoweredForm {
    const plan = (this.#plans[insn.code] ??= codePlan(codeInfo(insn.code)))
    const { info, isRelative } = plan
    const long = insn.mode === 64
    // A near branch with a 16-bit operand size wraps within 64 KiB: in 16-bit code the page is known to lie in these as a whole.
    const target = offset + insn.length + insn.immLo
    const fixed =
      isRelative &&
      (info.operandSize !== 16 || insn.mode === 16) &&
      !isEdge &&
      insn.immHi === insn.immLo >> 31 &&
      target >= 0 &&
      target < PAGE_BYTES
    const inPage = !fixed ? 'no' : target > offset ? 'forward' : 'back'
    const lowered = this.#lookUp(plan, insn, long, inPage)
    const { u8, u16 } = this.#views
    u16[(at + R.R_OP) >>> 1] = lowered.op
    u16[(at + R.R_OFFSET) >>> 1] = offset
    u16[(at + R.R_FUNCTION) >>> 1] = lowered.fn
    u8[at + R.R_LENGTH] = insn.length
    u8[at + R.R_SEGMENT] = isRelative ? R.SEGMENT_LINK : insn.segment
    this.#writeAddress(at, insn, offset, plan)
    for (let i = 0; i < plan.registerFields; i++) {
      u16[(at + R.R_REG0 + 2 * i) >>> 1] = registerOffset(insn, plan.registers[i]!)
    }
    // The x87 opcode: eleven bits of the escape's two bytes, where no instruction of the unit has a third operand.
    if (plan.isX87) {
      u16[(at + R.R_REG2) >>> 1] = ((info.opcode & 7) << 8) | (insn.mod << 6) | ((insn.reg & 7) << 3) | (insn.rm & 7)
    }
    if (isRelative) this.#writeBranch(at, insn, fixed ? target : undefined, offset + insn.length)
    else this.#writeImmediate(at, insn, plan, lowered)
    if ((u8[at + R.R_ADDRESS]! & R.ADDRESS_DISP64) !== 0) this.#writeConstant(at, insn.dispLo, insn.dispHi)
    if (lowered.isEvex) this.#evex!.finish(this.#views, at, insn)
    return lowered
  }

  #writeAddress(at: number, insn: Instruction, offset: number, { isVsib, popBytes }: CodePlan): void {
    const { u8, u16, i32 } = this.#views
    const long = insn.mode === 64
    let kind = long ? 0 : R.ADDRESS_CHECKED
    if (insn.isMemory !== 0) {
      if (long && insn.segment >= SEGMENT_FS) kind |= R.ADDRESS_SEGMENT
      if (insn.addressSize === 32) kind |= R.ADDRESS_32
      if (insn.addressSize === 16) kind |= R.ADDRESS_16
    }
    let base = insn.base < 0 ? S_ZERO : generalOffset(insn.base)
    let index = insn.index < 0 || isVsib ? S_ZERO : generalOffset(insn.index)
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
    } else if (popBytes !== 0 && insn.base === 4 && insn.isMemory !== 0) disp = (disp + popBytes) | 0
    if (insn.dispHi !== insn.dispLo >> 31 && insn.addressSize === 64) kind |= R.ADDRESS_DISP64
    u8[at + R.R_ADDRESS] = kind
    u16[(at + R.R_BASE) >>> 1] = base
    u16[(at + R.R_INDEX) >>> 1] = index
    u8[at + R.R_SCALE] = scale
    i32[(at + R.R_DISP) >>> 2] = disp
  }

  #writeConstant(at: number, lo: number, hi: number): void {
    const { i32 } = this.#views
    i32[(at + R.R_IMM) >>> 2] = lo
    i32[(at + R.R_IMM + 4) >>> 2] = hi
  }

  /** @param target - offset in the page, of a branch within it @param next - offset of the next instruction */
  #writeBranch(at: number, insn: Instruction, target: number | undefined, next: number): void {
    if (target !== undefined) this.#writeConstant(at, target << 2, 0)
    else if (insn.mode === 64) {
      const wide = insn.immLo + next
      this.#writeConstant(at, wide | 0, Math.floor(wide / 0x1_0000_0000))
    } else this.#writeConstant(at, insn.immLo, insn.immHi)
  }

  #writeImmediate(at: number, insn: Instruction, plan: CodePlan, { immediate, isStack }: LoweredForm): void {
    const { immLo: lo, immHi: hi } = insn
    if (isStack && insn.isMemory === 0) this.#writeConstant(at, insn.rm & 7, 0)
    else if (immediate === IMMEDIATE_PLAIN) this.#writeConstant(at, lo, hi)
    else if (immediate === IMMEDIATE_BYTE) this.#writeConstant(at, (lo << 24) >> 24, ((lo << 24) >> 24) >> 31)
    else if (immediate === IMMEDIATE_WORD) this.#writeConstant(at, (lo << 16) >> 16, ((lo << 16) >> 16) >> 31)
    else if (immediate === IMMEDIATE_UNSIGNED) this.#writeConstant(at, lo, 0)
    else if (immediate === IMMEDIATE_DOUBLE) this.#writeConstant(at, lo, lo >> 31)
    else if (immediate === IMMEDIATE_ONE) this.#writeConstant(at, 1, 0)
    else if (immediate === IMMEDIATE_TWO) this.#writeConstant(at, lo, insn.imm2)
    else this.#writeConstant(at, registerOffset(insn, plan.registers[3]!), hi)
  }

  #lookUp(plan: CodePlan, insn: Instruction, long: boolean, inPage: Variant['inPage']): LoweredForm {
    const { info, isString, forms } = plan
    const memory = insn.isMemory !== 0
    const repeat = isString ? repeatOf(insn, info) : 'none'
    // One number for all that the forms of a code differ in; 32 bits of address size are 1, 64 are 2.
    const variant =
      (insn.addressSize >> 5) + (memory ? 3 : 0) + (long ? 6 : 0) + (inPage === 'no' ? 0 : inPage === 'back' ? 12 : 24)
    const { noFlags } = insn
    const lock = (insn.prefixes & PREFIX_LOCK) !== 0
    // No string instruction has one of the first two.
    const key = variant + VARIANTS * (noFlags ? REPEATS.length : lock ? 1 : REPEATS.indexOf(repeat))
    const addressSize = insn.addressSize >> 3
    return (forms[key] ??= this.#newForm(info, { memory, long, addressSize, repeat, inPage, noFlags, lock }))
  }

  #newForm(info: CodeInfo, variant: Variant): LoweredForm {
    const form = this.#evex?.formOf(info, variant) ?? formOf(info, variant)
    return lowerForm(info, form, this.#resolve(info, form))
  }
}

/** Count of the variants of a code without a repeat prefix. */
const VARIANTS = 36
const REPEATS: readonly Repeat[] = ['none', 'rep', 'repe', 'repne']

function repeatOf(insn: Instruction, info: CodeInfo): Repeat {
  const rep = (insn.prefixes & PREFIX_REP) !== 0
  const repne = (insn.prefixes & PREFIX_REPNE) !== 0
  if (!rep && !repne) return 'none'
  if (info.repeat !== 'repe') return 'rep'
  if (rep && repne) return (insn.prefixes & PREFIX_REPNE_LAST) !== 0 ? 'repne' : 'repe'
  return rep ? 'repe' : 'repne'
}
