import { al, ax, cr0, cs, ds, eax, es, esp, far16, far32, fs, fword, gs, imm32, ss } from '@retrap/x86-assembler'
import type { Label } from '@retrap/x86-assembler'
import { CR0_PE } from '@retrap/x86-cpu'
import type { Guest } from './guest.ts'
import { PORT, RESET_VECTOR, ROM, SELECTOR, STACK_TOP } from './memory-map.ts'

const FAST_A20 = 0b10
const FAST_RESET = 0b01

/**
 * From the reset vector to 32-bit protected mode.
 *
 * @param gdtPointer - operand of LGDT
 * @param next - 32-bit code to go on with
 */
export function emitReset(guest: Guest, gdtPointer: Label, next: Label): void {
  const { asm } = guest

  // After reset CS has the selector F000 and the base FFFF0000. The far jump loads the base that belongs to the
  // selector, so that from here on the copy of the image below 1 MiB runs.
  const start = asm.label('start')
  asm.section('reset', { address: RESET_VECTOR }).bits(16)
  asm.jmp(far16(ROM.segment, start.bits(0, 16)))
  asm.org(ROM.base + ROM.bytes, 0xff)
  asm.section('text')

  asm.bind(start).cli().cld()
  // Line A20 of the address bus: without it, odd megabytes are even ones.
  asm
    .in(al, PORT.systemControlA)
    .or(al, FAST_A20)
    .and(al, ~FAST_RESET & 0xff)
    .out(PORT.systemControlA, al)

  // Offsets in this segment are the low 16 bits of the labels. With a 16-bit operand size LGDT would load 24 bits of base.
  asm.operandSize(32).lgdt(fword(gdtPointer.bits(0, 16), { segment: cs }))
  asm.mov(eax, cr0).or(al, CR0_PE).mov(cr0, eax)

  const entry = asm.label('protected')
  asm.jmp(far32(SELECTOR.code32, entry))

  asm.bits(32).bind(entry).mov(ax, SELECTOR.data)
  for (const segment of [ds, es, fs, gs, ss]) asm.mov(segment, ax)
  asm.mov(esp, imm32(STACK_TOP)).jmp(next)
}
