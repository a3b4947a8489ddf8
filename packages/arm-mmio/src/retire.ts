/**
 * The end of an instruction that has made its accesses: PC, ITSTATE and the bits of PSTATE that one
 * instruction resets.
 *
 * Source: Arm ARM (DDI 0487), "Process state"; part F, "ITSTATE"; part G, "Interworking".
 */
import {
  advanceIt,
  type ArmVcpu,
  isAArch32,
  itState,
  PSTATE_BTYPE,
  PSTATE_E,
  PSTATE_SS,
  PSTATE_T,
  spsrIndex,
  withItState,
} from './vcpu.ts'

/** Continues with the next instruction. */
export function retire(vcpu: ArmVcpu, length: number): void {
  const next = vcpu.pc[0]! + length
  vcpu.pc[0] = next
  if (!isAArch32(vcpu) && next > 0xffff_ffff) vcpu.pc[1]!++
  endOfInstruction(vcpu)
}

function endOfInstruction(vcpu: ArmVcpu): void {
  if (isAArch32(vcpu)) vcpu.pstate = withItState(vcpu.pstate & ~PSTATE_SS, advanceIt(itState(vcpu.pstate)))
  else vcpu.pstate = (vcpu.pstate & ~(PSTATE_SS | PSTATE_BTYPE)) >>> 0
}

/**
 * Goes on where a load into PC points: bit 0 chooses the instruction set.
 *
 * Bits 1:0 of 10, which are unpredictable for A32, are taken as A32 with bit 1 ignored.
 */
export function retireTo(vcpu: ArmVcpu, target: number): void {
  endOfInstruction(vcpu)
  const thumb = (target & 1) !== 0
  vcpu.pc[0] = thumb ? target & ~1 : target & ~3
  vcpu.pstate = (thumb ? vcpu.pstate | PSTATE_T : vcpu.pstate & ~PSTATE_T) >>> 0
}

/** Branches without changing the instruction set: table branches. */
export function branchTo(vcpu: ArmVcpu, target: number): void {
  endOfInstruction(vcpu)
  vcpu.pc[0] = target
}

const PSTATE_IL = 1 << 20
/** AArch32 modes that exist at PL0 and PL1. */
const MODES = new Set([0, 1, 2, 3, 7, 11, 15])

/**
 * Returns from an exception: PC and PSTATE as they were saved. A mode that cannot be returned to keeps the present one and
 * sets IL, as an illegal return does.
 *
 * Source: Arm ARM (DDI 0487), part G, "Illegal return events from AArch32 state".
 */
export function returnTo(vcpu: ArmVcpu, target: number, saved: number): void {
  const legal = (saved & 0x10) !== 0 && MODES.has(saved & 15)
  const pstate = legal ? saved : (saved & ~0x1f) | (vcpu.pstate & 0x1f) | PSTATE_IL
  vcpu.pstate = (pstate & ~PSTATE_SS) >>> 0
  vcpu.pc[0] = (pstate & PSTATE_T) !== 0 ? target & ~1 : target & ~3
}

/** Returns SPSR of the current mode; for modes without SPSR, which is unpredictable, the current PSTATE. */
export function savedState(vcpu: ArmVcpu): number {
  const index = spsrIndex(vcpu.pstate & 15)
  return index < 0 ? vcpu.pstate : vcpu.spsr[index]!
}

/** Returns PSTATE with another byte order. */
export function withEndianness(pstate: number, big: boolean): number {
  return (big ? pstate | PSTATE_E : pstate & ~PSTATE_E) >>> 0
}
