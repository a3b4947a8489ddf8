import { PAGE_BYTES } from '@retrap/memory'
import { Hypercall } from './numbers.ts'

const STUB_BYTES = 32

/** Opcodes of the stubs: MOV EAX, imm32; VMCALL; RET; UD2; INT3 between them. */
const MOV_EAX = 0xb8
const VMCALL = [0x0f, 0x01, 0xc1] as const
const RET = 0xc3
const UD2 = [0x0f, 0x0b] as const
const INT3 = 0xcc

/**
 * The page through which a guest makes hypercalls: a stub of 32 bytes for each number. IRET is no hypercall of hardware
 * guests, and its stub faults.
 */
export function hypercallPage(): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES).fill(INT3)
  for (let number = 0; number < PAGE_BYTES / STUB_BYTES; number++) {
    const at = number * STUB_BYTES
    if (number === Hypercall.IRET) page.set(UD2, at)
    else page.set([MOV_EAX, number, 0, 0, 0, ...VMCALL, RET], at)
  }
  return page
}
