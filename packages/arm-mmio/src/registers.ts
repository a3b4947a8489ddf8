/** General-purpose and SIMD&FP registers, by their numbers in instructions. */
import { InstructionSet, type LoadStore } from '@retrap/arm-decoder'
import { aarch32Register, type ArmVcpu, MODE_USR } from './vcpu.ts'

/** Words of a register, as they were read. */
export class RegisterValue {
  lo: number
  hi: number

  constructor() {
    this.lo = 0
    this.hi = 0
  }
}

/** Offset of the stack pointer of the current level in `ArmVcpu.sp`. */
function stackPointer(vcpu: ArmVcpu): number {
  // SPSel selects the stack pointer; EL0 has only one.
  return (vcpu.pstate & 12) !== 0 && (vcpu.pstate & 1) !== 0 ? 2 : 0
}

/** Reads X0…X30, and 31 as the stack pointer or zero. */
export function readX(vcpu: ArmVcpu, number: number, stack: boolean, into: RegisterValue): void {
  if (number < 31) {
    into.lo = vcpu.x[number * 2]!
    into.hi = vcpu.x[number * 2 + 1]!
  } else if (stack) {
    const at = stackPointer(vcpu)
    into.lo = vcpu.sp[at]!
    into.hi = vcpu.sp[at + 1]!
  } else {
    into.lo = 0
    into.hi = 0
  }
}

/** Writes X0…X30; 31 is the stack pointer, or writes nothing. */
export function writeX(vcpu: ArmVcpu, number: number, stack: boolean, lo: number, hi: number): void {
  if (number < 31) {
    vcpu.x[number * 2] = lo
    vcpu.x[number * 2 + 1] = hi
  } else if (stack) {
    const at = stackPointer(vcpu)
    vcpu.sp[at] = lo
    vcpu.sp[at + 1] = hi
  }
}

/** Returns the PC as an AArch32 instruction reads it: its address plus 8 in A32, plus 4 in Thumb. */
export function pcValue(vcpu: ArmVcpu, set: InstructionSet): number {
  return (vcpu.pc[0]! + (set === InstructionSet.A32 ? 8 : 4)) >>> 0
}

/** Reads R0…R15 in the current mode, or the user registers. */
export function readR(vcpu: ArmVcpu, set: InstructionSet, number: number, user: boolean = false): number {
  if (number === 15) return pcValue(vcpu, set)
  return vcpu.x[aarch32Register(user ? MODE_USR : vcpu.pstate & 15, number) * 2]!
}

/** Writes R0…R14 in the current mode, or the user registers. The upper half of the X register is 0 then. */
export function writeR(vcpu: ArmVcpu, number: number, value: number, user: boolean = false): void {
  const at = aarch32Register(user ? MODE_USR : vcpu.pstate & 15, number) * 2
  vcpu.x[at] = value
  vcpu.x[at + 1] = 0
}

/** Byte in `ArmVcpu.v` where a SIMD&FP register of an instruction starts. */
export function vectorOffset(insn: LoadStore, number: number, size: number): number {
  if (insn.set === InstructionSet.A64) return (number & 31) * 16
  // AArch32: D2n and D2n+1 are the halves of Vn, S4n… its words.
  return size >= 8 ? (number & 31) * 8 : (number & 31) * 4
}
