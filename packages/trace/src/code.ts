import type { X86Domain, X86Vcpu } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import { CS, MODE_64 } from '@retrap/x86-cpu'

/** Bytes of the longest instruction. */
const LONGEST = 15

/** Linear address of the next instruction. */
export function linearAddress({ cpu: { registers } }: X86Vcpu): bigint {
  const address = registers.segmentBase(CS) + registers.rip
  return BigInt.asUintN(registers.mode === MODE_64 ? 64 : 32, address)
}

/** Bits of the code segment. */
export function modeOf({ cpu: { registers } }: X86Vcpu): 16 | 32 | 64 {
  return ([16, 32, 64] as const)[registers.mode] ?? 16
}

/** The bytes of an instruction and perhaps some behind it. Changes nothing of the guest. */
export function codeAt(domain: X86Domain, vcpu: X86Vcpu, address: bigint): Uint8Array {
  const lo = Number(address & 0xffff_ffffn)
  const isPlain = (lo & (PAGE_BYTES - 1)) <= PAGE_BYTES - LONGEST && domain.a20 && !vcpu.cpu.inSystemManagement
  // One look at the tables instead of one for each byte.
  const gpa = isPlain ? vcpu.translation.linearToPhysical(lo, Number(address >> 32n)) : -1
  const ma = gpa < 0 ? -1 : domain.p2m.translate(gpa)
  return ma < 0 ? vcpu.translation.peekCode(address, LONGEST) : domain.memory.u8.slice(ma, ma + LONGEST)
}
