/**
 * Effective addresses.
 *
 * Source: Arm ARM (DDI 0487), "Load/store addressing modes"; part F, "Memory access instructions".
 */
import { Addressing, Extend, InstructionSet, type LoadStore, NO_REGISTER } from '@retrap/arm-decoder'
import { pcValue, readR, readX, RegisterValue } from './registers.ts'
import { type ArmVcpu, PSTATE_C } from './vcpu.ts'

/** The address range of an instruction, and its base's new value. */
export class EffectiveAddress {
  /** Lowest accessed address. */
  lo: number
  hi: number
  /** Value of the base after writeback. */
  baseLo: number
  baseHi: number
  writeback: boolean

  constructor() {
    this.lo = 0
    this.hi = 0
    this.baseLo = 0
    this.baseHi = 0
    this.writeback = false
  }
}

const base: RegisterValue = /*#__PURE__*/ new RegisterValue()
const index: RegisterValue = /*#__PURE__*/ new RegisterValue()

/** Computes an instruction's address from the registers as they are. */
export function effectiveAddress(vcpu: ArmVcpu, insn: LoadStore, into: EffectiveAddress): void {
  if (insn.set === InstructionSet.A64) address64(vcpu, insn, into)
  else address32(vcpu, insn, into)
}

/** Adds a signed 32-bit number to a 64-bit address. */
function add(into: EffectiveAddress, lo: number, hi: number, offset: number): void {
  const sum = (lo >>> 0) + (offset >>> 0)
  into.lo = sum >>> 0
  into.hi = (hi + (offset < 0 ? -1 : 0) + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
}

function address64(vcpu: ArmVcpu, insn: LoadStore, into: EffectiveAddress): void {
  into.writeback = false
  if (insn.addressing === Addressing.LITERAL) {
    add(into, vcpu.pc[0]!, vcpu.pc[1]!, insn.offset)
    return
  }
  // System instructions have the address in Xt, copies in Xd.
  if (insn.rn === NO_REGISTER) readX(vcpu, insn.rt, false, base)
  else readX(vcpu, insn.rn, true, base)
  if (insn.rm !== NO_REGISTER) extendIndex(vcpu, insn)
  if (insn.addressing === Addressing.POST_INDEX) {
    into.lo = base.lo >>> 0
    into.hi = base.hi >>> 0
    if (insn.rm === NO_REGISTER) offsetBase(into, insn.offset)
    else indexBase(into)
    return
  }
  if (insn.rm === NO_REGISTER) add(into, base.lo, base.hi, insn.offset)
  else addIndex(into)
  if (insn.addressing === Addressing.PRE_INDEX) {
    into.writeback = true
    into.baseLo = into.lo
    into.baseHi = into.hi
  }
}

function addIndex(into: EffectiveAddress): void {
  const sum = (base.lo >>> 0) + (index.lo >>> 0)
  into.lo = sum >>> 0
  into.hi = (base.hi + index.hi + (sum > 0xffff_ffff ? 1 : 0)) >>> 0
}

function offsetBase(into: EffectiveAddress, offset: number): void {
  const { lo, hi } = into
  add(into, base.lo, base.hi, offset)
  into.baseLo = into.lo
  into.baseHi = into.hi
  into.lo = lo
  into.hi = hi
  into.writeback = true
}

function indexBase(into: EffectiveAddress): void {
  const { lo, hi } = into
  addIndex(into)
  into.baseLo = into.lo
  into.baseHi = into.hi
  into.lo = lo
  into.hi = hi
  into.writeback = true
}

function extendIndex(vcpu: ArmVcpu, insn: LoadStore): void {
  readX(vcpu, insn.rm, false, index)
  if (insn.extend === Extend.UXTW) index.hi = 0
  else if (insn.extend === Extend.SXTW) index.hi = (index.lo | 0) < 0 ? 0xffff_ffff : 0
  if (insn.shift === 0) return
  index.hi = ((index.hi << insn.shift) | (index.lo >>> (32 - insn.shift))) >>> 0
  index.lo = (index.lo << insn.shift) >>> 0
}

function address32(vcpu: ArmVcpu, insn: LoadStore, into: EffectiveAddress): void {
  const literal = insn.addressing === Addressing.LITERAL
  // PC as base is word-aligned, except for table branches.
  const start =
    insn.rn === 15
      ? pcValue(vcpu, insn.set) & (insn.form.operation === 'table-branch' ? -1 : ~3)
      : insn.rn === NO_REGISTER
        ? readR(vcpu, insn.set, insn.rt)
        : readR(vcpu, insn.set, insn.rn)
  let offset = insn.offset
  if (insn.rm !== NO_REGISTER) {
    offset = shiftedIndex(vcpu, insn)
    if (insn.subtract) offset = -offset
  }
  const indexed = (start + offset) >>> 0
  into.hi = 0
  into.baseHi = 0
  into.baseLo = indexed
  into.writeback = !literal && insn.addressing !== Addressing.OFFSET
  if (insn.form.registers !== 0 || insn.addressing === Addressing.POST_INDEX) into.lo = start >>> 0
  else if (isBlock(insn)) into.lo = (start + insn.start) >>> 0
  else into.lo = indexed
}

/** Whether this is LDM or similar, whose offset only serves the writeback. */
function isBlock(insn: LoadStore): boolean {
  const { attributes, operation } = insn.form
  return attributes.has('multiple') || attributes.has('vectors') || operation === 'return' || operation === 'save'
}

function shiftedIndex(vcpu: ArmVcpu, insn: LoadStore): number {
  const value = readR(vcpu, insn.set, insn.rm)
  switch (insn.extend) {
    case Extend.LSR:
      return insn.shift === 32 ? 0 : value >>> insn.shift
    case Extend.ASR:
      return insn.shift === 32 ? (value | 0) >> 31 : (value | 0) >> insn.shift
    case Extend.ROR:
      return (value >>> insn.shift) | (value << (32 - insn.shift))
    case Extend.RRX:
      return (value >>> 1) | ((vcpu.pstate & PSTATE_C) !== 0 ? 0x8000_0000 : 0)
    default:
      return value << insn.shift
  }
}
