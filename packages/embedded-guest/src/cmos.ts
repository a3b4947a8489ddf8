import { al, eax, ebx, edi, ptr, rbx, rdi } from '@retrap/x86-assembler'
import type { Guest } from './guest.ts'
import { PORT } from './memory-map.ts'

/** Indices into CMOS RAM: the clock's registers, and what a PC's firmware finds about memory and processors. */
export const CMOS = {
  seconds: 0x00,
  minutes: 0x02,
  hours: 0x04,
  day: 0x07,
  month: 0x08,
  year: 0x09,
  statusA: 0x0a,
  statusB: 0x0b,
  /** KiB above 1 MiB, up to 64 MiB. */
  extendedLow: 0x30,
  /** 64 KiB units above 16 MiB and below 4 GiB. */
  above16MibLow: 0x34,
  /** 64 KiB units above 4 GiB. */
  above4GibLow: 0x5b,
  processorsMinusOne: 0x5f,
  century: 0x32,
} as const

/** Reading CMOS RAM. */
export function emitCmos(guest: Guest): void {
  const { asm } = guest

  // EDI: index. EAX: the byte. Bit 7 of the index port would mask NMIs; it stays clear.
  guest.define('cmosByte', [], () => {
    asm.mov(eax, edi).out(PORT.cmosIndex, al).in(al, PORT.cmosData).movzx(eax, al)
  })

  // EDI: index of the low byte. EAX: the 16-bit field.
  guest.define('cmosWord', [rbx], () => {
    asm.lea(ebx, ptr(rdi, { disp: 1 }))
    guest.call('cmosByte')
    asm.xchg(eax, ebx).mov(edi, eax)
    guest.call('cmosByte')
    asm.shl(eax, 8).or(eax, ebx)
  })
}
